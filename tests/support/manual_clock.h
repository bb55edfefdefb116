// SPDX-License-Identifier: Apache-2.0
//
// A clock that stands still until a test moves it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "common/base/clock.h"

namespace ferment::testing {

/// Thread: any.
class ManualClock final : public Clock {
 public:
  MonotonicTime Now() const override { return MonotonicTime(std::chrono::milliseconds(now_ms_)); }
  WallTime WallNow() const override { return WallTime(std::chrono::milliseconds(kEpochMs + now_ms_)); }
  void Advance(std::chrono::milliseconds by) { now_ms_ += by.count(); }

 private:
  static constexpr std::int64_t kEpochMs = 1'700'000'000'000;
  std::atomic<std::int64_t> now_ms_{1'000'000};
};

}  // namespace ferment::testing
