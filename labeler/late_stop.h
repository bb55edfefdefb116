// SPDX-License-Identifier: Apache-2.0
//
// A stop that comes a while after another: for what is nearly done when the process is told to leave.
#pragma once

#include <chrono>
#include <stop_token>
#include <thread>

namespace ferment::labeler {

/// How long after TERM a finished shard may take until it is written and committed; a silent store or coordinator takes
/// no more of the time in which a process has to be gone.
inline constexpr std::chrono::milliseconds kTimeToKeepAShard{2'000};

/// Thread: construct and destroy on one; the token is for any. Destruction does not wait.
class LateStop {
 public:
  /// Requests the token's stop `later` after `first` is requested.
  explicit LateStop(std::stop_token first, std::chrono::milliseconds later = kTimeToKeepAShard);

  std::stop_token token() const { return late_.get_token(); }

 private:
  std::stop_source late_;
  // Joins first.
  std::jthread waiting_;
};

}  // namespace ferment::labeler
