// SPDX-License-Identifier: Apache-2.0
//
// evaluate.select: best. The state of a network at the validation that it came off best.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/report/classification_metrics.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Of all states offered the one with the highest macro F1, of equals the first. Chosen on the set that is reported, so
/// its figures are optimistic. Equal on all ranks where the confusions are. Thread: the loop's.
class BestCheckpoint {
 public:
  struct Kept {
    NamedTensors state;  // a copy, on the CPU
    std::uint64_t steps = 0;
    double macro_f1 = 0;
    double accuracy = 0;
  };

  /// `steps`: how many `state` was trained. It is copied if it is kept.
  void Offer(const NamedTensors& state, std::uint64_t steps, const report::ConfusionMatrix& confusion);

  /// Nothing before the first offer.
  const std::optional<Kept>& kept() const { return kept_; }

  /// Adds what is kept to a job's checkpoint, under `stem`.
  void Save(const std::string& stem, RecipeState& state) const;
  /// Takes up what Save wrote; nothing where nothing was kept. Errors: DataLoss (78) where a half is missing.
  Status Restore(const std::string& stem, const RecipeState& state);

 private:
  std::optional<Kept> kept_;
};

}  // namespace ferment::worker
