// SPDX-License-Identifier: Apache-2.0
//
// Learning rate of each step: waiting at 0, a linear warm-up, a cosine to the end.
#pragma once

#include <cstdint>
#include <optional>

namespace ferment::worker {

/// A value.
struct LearningRateSchedule {
  double base = 0;
  std::uint64_t total_steps = 0;
  std::uint64_t warmup_steps = 0;
  /// First steps at rate 0; warm-up and cosine start after them, from their beginning.
  std::uint64_t wait_steps = 0;
  /// Rate of the first warm-up step, from where it rises to reach `base` with the first step after the warm-up. Absent:
  /// the rate is base * (s + 1) / warmup_steps in warm-up step s.
  std::optional<double> warmup_start = std::nullopt;
  double final_rate = 0;

  /// Returns: the rate of step `step`, counted from 0; from total_steps on the final rate.
  double At(std::uint64_t step) const;
};

}  // namespace ferment::worker
