// SPDX-License-Identifier: Apache-2.0
//
// Has every teacher judged while its labels come in, and stops one that is shown to be bad.
#pragma once

#include <set>
#include <string>
#include <tuple>

#include "common/base/clock.h"
#include "coordinator/core/job_book.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/metrics/scheduler_metrics.h"

namespace ferment::coordinator {

/// TeacherGuard judges; this asks it, records a stop in the log, and tells people. What follows for the run is
/// Pipeline's to say.
///
/// Thread: the scheduler's.
class TeacherDesk {
 public:
  TeacherDesk(Ledger& ledger, const Clock& clock, SchedulerMetrics& metrics)
      : ledger_(ledger), clock_(clock), metrics_(metrics) {}

  /// Where `job` labels by a teacher that its labels show to be bad, stops that teacher.
  void Judge(const Run& run, const Job& job);
  /// Nothing is kept of the run but what the book has. It has ended.
  void Forget(const Run& run);

 private:
  Ledger& ledger_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;
  /// Run, job and kind: each is told once.
  std::set<std::tuple<std::string, std::string, std::string>> warned_;
};

}  // namespace ferment::coordinator
