// SPDX-License-Identifier: Apache-2.0
//
// Renews a lease until the work is done, and calls a halt when the lease is lost.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include "labeler/lease_client.h"

namespace ferment::labeler {

/// Holds one lease alive from construction to destruction: renews at a third of the lease time. A refusal (Aborted)
/// requests stop on `work()`: nothing of the work may be committed afterwards. While the coordinator cannot be reached
/// the work goes on: a coordinator that returns gives every lease a full lease time, and Commit settles who was first.
/// Thread: construct and destroy on one thread. `client` outlives it.
class LeaseKeeper {
 public:
  /// `ending`: stop of the whole process, passed on to work().
  LeaseKeeper(LeaseClient& client, const Lease& lease, std::stop_token ending);

  std::stop_token work() const { return work_.get_token(); }
  bool lost() const { return lost_; }
  /// Records done so far, which renewals report.
  std::atomic<std::uint64_t>& done() { return done_; }

 private:
  void Renew(std::stop_token stop);

  LeaseClient& client_;
  const LeaseKey key_;
  std::chrono::milliseconds lease_time_;
  std::stop_source work_;
  std::atomic<bool> lost_ = false;
  std::atomic<std::uint64_t> done_ = 0;
  std::stop_callback<std::function<void()>> pass_on_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace ferment::labeler
