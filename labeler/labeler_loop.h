// SPDX-License-Identifier: Apache-2.0
//
// Takes leases and works on them until there is no more.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "common/base/status.h"
#include "labeler/lease_client.h"
#include "labeler/lease_keeper.h"
#include "labeler/work_runner.h"

namespace ferment::labeler {

/// Ahead, work never waits for a coordinator; when it is begun, what others have done by then is known.
enum class NextLease { kTakenAhead, kTakenWhenBegun };

/// Thread: construct and Run on one thread. References outlive it.
class LabelerLoop {
 public:
  LabelerLoop(LeaseClient& client, WorkRunner& runner, bool exit_when_idle, NextLease next = NextLease::kTakenAhead)
      : client_(client), runner_(runner), exit_when_idle_(exit_when_idle), next_(next) {}

  /// Returns: success when idle and told to leave then; Cancelled when `ending` was requested, all leases handed back;
  /// else what made work impossible: no coordinator, no device, or a disk that is full or fails (204), after which
  /// this process writes nothing more.
  Status Run(std::stop_token ending);

 private:
  struct Held {
    Lease lease;
    std::unique_ptr<LeaseKeeper> keeper;
  };

  /// Returns: a lease, or nothing when idle.
  Result<std::optional<Held>> TakeOne(const std::stop_token& ending, bool wait);
  /// Returns: the offer that came with the commit; an empty one where there was none.
  Result<LeaseOffer> WorkOn(Held& held);
  Held Keep(Lease lease, const std::stop_token& ending);
  void HandBack(Held& held);

  LeaseClient& client_;
  WorkRunner& runner_;
  bool exit_when_idle_;
  NextLease next_;
};

}  // namespace ferment::labeler
