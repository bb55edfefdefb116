// SPDX-License-Identifier: Apache-2.0
//
// Macro F1 on the labelled validation faces while training goes on: sparse, in plain fp32.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/dataset/pictures/image.h"
#include "common/nn/backbone.h"
#include "common/report/classification_metrics.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Holds this rank's share of the faces, decoded. Thread: the loop's.
class Validation {
 public:
  /// `ranks` share the faces, and outlive the result. Errors: those of LoadFaces. A damaged face is left out.
  static Result<Validation> Load(const RecipeContext& context, Collective& ranks);

  /// Returns: the confusion over all ranks' faces, the same on every rank; the network is put back into the mode it was
  /// in. A float64 network is evaluated in float64.
  Result<report::ConfusionMatrix> Evaluate(nn::Backbone& network) const;

  /// Returns: whether a job of `total` steps is due for an evaluation after step `step`: a handful of times, and never
  /// at its end, where the recipe evaluates what it publishes.
  static bool Due(std::uint64_t step, std::uint64_t total);

 private:
  Validation(const RecipeContext& context, Collective& ranks) : context_(&context), ranks_(&ranks) {}

  const RecipeContext* context_;
  Collective* ranks_;
  std::vector<dataset::Image> images_;
  std::vector<int> labels_;
};

}  // namespace ferment::worker
