// SPDX-License-Identifier: Apache-2.0
//
// Items a second over the last few seconds, from a count that only grows.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <utility>

#include "common/base/clock.h"

namespace ferment::coordinator {

/// A value.
class RateMeter {
 public:
  void Observe(MonotonicTime now, std::uint64_t total) {
    if (!samples_.empty() && total < samples_.back().second) samples_.clear();
    if (samples_.size() > 1 && now - samples_[samples_.size() - 2].first < kGrain) samples_.pop_back();
    samples_.emplace_back(now, total);
    while (samples_.size() > 2 && now - samples_[1].first > kWindow) samples_.pop_front();
  }

  /// Returns: 0 before the second observation, and once nothing has come for a while.
  double PerSecond(MonotonicTime now) const {
    if (samples_.size() < 2 || now - samples_.back().first > 3 * kWindow) return 0;
    const std::chrono::duration<double> span = samples_.back().first - samples_.front().first;
    if (span.count() <= 0) return 0;
    return static_cast<double>(samples_.back().second - samples_.front().second) / span.count();
  }

 private:
  static constexpr std::chrono::seconds kWindow{10};
  /// Observations closer than this are kept as one.
  static constexpr std::chrono::milliseconds kGrain{50};
  std::deque<std::pair<MonotonicTime, std::uint64_t>> samples_;
};

}  // namespace ferment::coordinator
