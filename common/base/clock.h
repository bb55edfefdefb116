// SPDX-License-Identifier: Apache-2.0
//
// Where time comes from, so that a test can move it.
#pragma once

#include <chrono>
#include <string>

namespace ferment {

using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

/// Thread: any. Monotonic time is for leases and deadlines, wall time only for people.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
  virtual WallTime WallNow() const = 0;
};

/// Returns: the machine's clock; it lives as long as the process.
const Clock& SystemClock();

/// Returns: RFC 3339 in UTC with milliseconds, such as "2024-03-18T12:00:00.000Z".
std::string FormatUtc(WallTime time);

}  // namespace ferment
