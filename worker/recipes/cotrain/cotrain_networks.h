// SPDX-License-Identifier: Apache-2.0
//
// The networks that co-training has on this rank: made at the start, gathered to be saved, restored.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/recipes/cotrain/cotrain_placement.h"
#include "worker/train/ema.h"
#include "worker/train/exchange/rank_statistics.h"

namespace ferment::worker {

/// All of the networks that a step changes, by file.
struct CotrainState {
  NamedTensors teacher;
  NamedTensors student;
  NamedTensors average;
  /// Momentum, teacher.<parameter> and student.<parameter>.
  NamedTensors optimizer;
};

/// Thread: the collective's. Context and placement outlive it.
class CotrainNetworks {
 public:
  /// Round 0 starts from the teacher phase's network, a later round from what the round before published; --from-init
  /// from fresh ones. Errors: those of reading them.
  static Result<std::unique_ptr<CotrainNetworks>> Make(const RecipeContext& context, const CotrainPlacement& placement,
                                                       torch::ScalarType dtype);

  /// Null where the placement says that this rank does not train it.
  TrainedNetwork* teacher() const { return teacher_.get(); }
  TrainedNetwork* student() const { return student_.get(); }
  AveragedNetwork* average() const { return average_.get(); }
  /// Returns: sorted names.
  std::vector<std::string> ExcludedFromDecay() const { return any().bucket.ExcludedFromDecay(); }

  /// Every rank calls. Returns: on rank 0 the networks as they are; where this rank has them the tensors share their
  /// memory.
  Result<CotrainState> State() const;
  /// Errors: DataLoss (78) where `tensors`, a checkpoint's by file stem, lack one of State's.
  Status Restore(const std::map<std::string, NamedTensors>& tensors);
  /// Every rank calls, with the flat buffers that it has. Returns: on rank 0 both by name, teacher.<parameter> and
  /// student.<parameter>.
  Result<NamedTensors> OfBoth(const torch::Tensor& teacher, const torch::Tensor& student) const;
  /// Every rank calls. Returns: on rank 0 what is published, elsewhere nothing.
  Result<std::vector<NamedModel>> Models() const;

 private:
  CotrainNetworks(const RecipeContext& context, const CotrainPlacement& placement)
      : context_(context), placement_(placement), exchange_(placement.group()) {}

  const TrainedNetwork& any() const { return student_ ? *student_ : *teacher_; }
  /// Returns: on rank 0 the state of a network that the student's ranks have, null elsewhere; its own state on others.
  Result<NamedTensors> OfStudents(const nn::Backbone* network) const;

  const RecipeContext& context_;
  const CotrainPlacement& placement_;
  RankStatistics exchange_;
  std::unique_ptr<TrainedNetwork> teacher_;
  std::unique_ptr<TrainedNetwork> student_;
  std::unique_ptr<AveragedNetwork> average_;
};

}  // namespace ferment::worker
