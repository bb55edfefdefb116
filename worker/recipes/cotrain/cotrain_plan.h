// SPDX-License-Identifier: Apache-2.0
//
// What a spec says about the steps of co-training: rules once, rates by step.
#pragma once

#include "worker/recipes/cotrain/cotrain_batch.h"
#include "worker/train/optimizer/learning_rate.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Errors: InvalidArgument (64) for a value that is none of its key's.
Result<CotrainRules> RulesOf(const v1::CotrainSpec& cotrain);

/// A value.
class CotrainSchedule {
 public:
  CotrainSchedule(const v1::CotrainSpec& cotrain, std::uint32_t round);
  CotrainRates At(std::uint64_t step) const;

 private:
  LearningRateSchedule teacher_;
  LearningRateSchedule student_;
  double lambda_u_;
  double lambda_ramp_steps_;
  double ema_decay_;
  std::uint64_t feedback_start_;
  /// The average of a first round starts from few steps; a later round's goes on.
  bool warms_average_up_;
};

}  // namespace ferment::worker
