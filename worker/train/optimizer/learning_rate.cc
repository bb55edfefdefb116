// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer/learning_rate.h"

#include <cmath>
#include <numbers>

namespace ferment::worker {

double LearningRateSchedule::At(std::uint64_t step) const {
  if (step < wait_steps) return 0;
  const double s = static_cast<double>(step - wait_steps);
  const double warmup = static_cast<double>(warmup_steps);
  if (s < warmup) return warmup_start ? *warmup_start + (base - *warmup_start) * s / warmup : base * (s + 1) / warmup;
  if (step >= total_steps) return final_rate;
  const double whole = static_cast<double>(total_steps - wait_steps) - warmup;
  return final_rate + (base - final_rate) / 2 * (1 + std::cos(std::numbers::pi * (s - warmup) / whole));
}

}  // namespace ferment::worker
