// SPDX-License-Identifier: Apache-2.0
//
// Exponential backoff with full jitter.
#pragma once

#include <chrono>
#include <cstdint>

namespace ferment {

/// A value. Delay k is uniform in (0, min(cap, first * 2^k)], so that clients that failed together do not return
/// together.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds cap, std::uint64_t seed)
      : first_(first), cap_(cap), seed_(seed) {}

  std::chrono::milliseconds Next();
  void Reset() { attempt_ = 0; }
  /// Calls of Next since the start or the last Reset.
  int attempts() const { return attempt_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds cap_;
  std::uint64_t seed_;
  int attempt_ = 0;
};

}  // namespace ferment
