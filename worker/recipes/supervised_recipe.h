// SPDX-License-Identifier: Apache-2.0
//
// Supervised training on class-balanced labelled faces: what the teacher phase and the finetune phase have in common.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/feed/batch_feed.h"
#include "worker/train/optimizer/learning_rate.h"
#include "worker/train/recipe.h"
#include "worker/train/trained_network.h"
#include "worker/train/validation.h"

namespace ferment::worker {

struct SupervisedPlan {
  std::uint64_t batch = 0;
  LearningRateSchedule schedule;
  SgdOptions optimizer;
  double label_smoothing = 0;

  /// One network to train; all see the same batches.
  struct Subject {
    std::string role;
    std::function<Result<std::shared_ptr<nn::Backbone>>()> make;
  };
  std::vector<Subject> subjects;
  /// Recipe::Inputs.
  std::function<JobInputs()> inputs = [] { return JobInputs(); };
  /// The spec's key of `batch`, for messages.
  std::string batch_key;
  /// Publish each network as of its best validation in place of its last step.
  bool publish_best = false;
};

/// Publishes every subject under its role, with its macro F1 on the validation faces; `best_step` says of how many
/// steps it is where the best was asked for.
std::unique_ptr<Recipe> MakeSupervisedRecipe(const RecipeContext& context, SupervisedPlan plan);

}  // namespace ferment::worker
