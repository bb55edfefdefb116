// SPDX-License-Identifier: Apache-2.0
//
// What the trainers' reports say, as metrics: they serve none of their own.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/metrics/metric.h"
#include "coordinator/core/job.h"

namespace ferment::coordinator {

/// Figures by the names that a trainer gives them.
using TrainerFigures = std::map<std::string, double>;

/// Counts what each job adds from one report to the next; gauges are of whoever reported last, by phase where there is
/// a label. What a trainer did before this process heard of it is not counted. Thread: one at a time.
class TrainerMetrics {
 public:
  explicit TrainerMetrics(metrics::MetricRegistry& registry);

  /// The job begins: all that it will report is new. `job`: any text that is the job's alone.
  void Begin(const std::string& job) { heard_[job] = {}; }
  /// `samples`: all since the job began. `now_seconds`: since 1970.
  void Report(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
              double now_seconds);
  /// The job's last report, with its results. Thread and the rest as Report.
  void Complete(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
                double now_seconds);

 private:
  /// What a job has told so far.
  struct Heard {
    double samples = 0;
    double nonfinite = 0;
    double checkpoint_seconds = 0;
  };

  void HearCheckpoint(Heard& heard, bool fresh, const TrainerFigures& figures, double now_seconds);

  metrics::MetricRegistry& registry_;
  metrics::Counter& nonfinite_;
  metrics::Histogram& checkpoint_duration_;
  std::map<std::string, Heard> heard_;
};

}  // namespace ferment::coordinator
