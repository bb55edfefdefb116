// SPDX-License-Identifier: Apache-2.0
//
// What people change about a run that goes on: cancel it, suspend and resume it, give it another priority, go back to
// the teacher before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/metrics/scheduler_metrics.h"

namespace ferment::coordinator {

inline constexpr std::int32_t kHighestPriority = 100;
/// Errors: InvalidArgument outside -kHighestPriority to kHighestPriority.
Status CheckPriority(std::int32_t priority);

struct RunUpdate {
  std::string run_id;
  std::string request_id;
  std::optional<bool> suspended = {};
  /// From -kHighestPriority to kHighestPriority.
  std::optional<std::int32_t> priority = {};
};

/// Errors: InvalidArgument (it changes nothing).
Status CheckNotEmpty(const RunUpdate& update);

/// Only records what is wanted; RunDesk and the lease policy act on it. A request that comes again acts once, even
/// where the run was reopened in between: it means the run that was.
///
/// Thread: the scheduler's.
class SteeringDesk {
 public:
  SteeringDesk(Ledger& ledger, const Clock& clock, SchedulerMetrics& metrics)
      : ledger_(ledger), clock_(clock), metrics_(metrics) {}

  /// Of a run that has ended it changes nothing. Errors: NotFound; InvalidArgument: another run's request id.
  Status Cancel(const std::string& run_id, const std::string& request_id);
  /// Suspended, a run starts nothing and leases nothing; its trainers save a checkpoint and leave, labelers finish what
  /// they hold. Errors: NotFound; InvalidArgument; FailedPrecondition: the run has ended or is being cancelled.
  Status Update(const RunUpdate& update);
  /// Stops the teacher whose labels are made or learned from now, as TeacherDesk stops a bad one: its round and those
  /// after it are left out, what was learned from its labels included, and the run goes on with the round before.
  /// Returns: the label job of that teacher. Errors: NotFound; FailedPrecondition: the run has ended, or there is no
  /// teacher to go back to.
  Result<std::string> RollBackTeacher(const std::string& run_id, const std::string& request_id,
                                      const std::string& reason);

 private:
  /// Returns: whether this request has changed the run before. Errors: InvalidArgument where it was another run:
  /// nothing would be done, and that not told.
  Result<bool> HasChanged(const std::string& run_id, const std::string& request_id) const;
  /// Errors: NotFound; FailedPrecondition: ended, or being cancelled.
  Result<const Run*> Running(const std::string& run_id) const;

  Ledger& ledger_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;
};

}  // namespace ferment::coordinator
