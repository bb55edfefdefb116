// SPDX-License-Identifier: Apache-2.0
//
// What the trainers' reports say, as metrics: they serve none of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/metrics/distribution.h"
#include "common/metrics/metric.h"
#include "coordinator/core/job.h"

namespace ferment::coordinator {

/// Figures by the names that a trainer gives them.
using TrainerFigures = std::map<std::string, double>;
/// By the names of ReportProgressRequest.distributions: all since the trainer's process started.
using TrainerDistributions = std::map<std::string, metrics::Distribution>;

/// Ranks with a series of their own; those above share one, which is of the one that stands longest.
inline constexpr std::size_t kRanksShown = 32;

/// Counts what each job adds from one report to the next; gauges are of whoever reported last, by phase where there is
/// a label. What a trainer did before this process heard of it is not counted. Thread: one at a time.
class TrainerMetrics {
 public:
  explicit TrainerMetrics(metrics::MetricRegistry& registry);

  /// An attempt begins: all that its process will count is new, and of the first attempt all that the job will report.
  /// `job`: any text that is the job's alone.
  void Begin(const std::string& job, std::uint32_t attempt);
  /// The attempt is over: it has no ranks at work any more.
  void End(const std::string& job);
  /// `samples`: all since the job began. `now_seconds`: since 1970.
  void Report(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
              double now_seconds);
  /// What is not known by name and bounds is left out.
  void Count(const std::string& job, Phase phase, const TrainerDistributions& distributions);
  /// `idle_seconds`: by rank, since when it has not moved; none: none is at work.
  void HearRanks(const std::string& job, std::span<const double> idle_seconds, double now_seconds);
  /// Nothing is kept of the job; if it goes on, that is as if this process had only now heard of it.
  void Forget(const std::string& job);
  /// The job's last report, with its results. Of classes the first eight are shown that any job told of.
  void Complete(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
                double now_seconds);

 private:
  /// What a job has told so far.
  struct Heard {
    double samples = 0;
    double nonfinite = 0;
    double checkpoint_seconds = 0;
  };
  /// What an attempt's process has told so far: it counts from 0.
  struct Process {
    /// What it has not told of yet counts from 0: it began while we listened, or has reported before.
    bool dropped_known = false;
    bool distributions_known = false;
    TrainerFigures dropped;
    TrainerDistributions distributions;
    /// When each rank moved last, since 1970.
    std::vector<double> moved;
  };

  void HearCheckpoint(Heard& heard, bool fresh, const TrainerFigures& figures, double now_seconds);
  void HearDropped(Process& process, const TrainerFigures& figures);
  /// Sets the gauges of all ranks by the ranks of all jobs.
  void ShowRanks();

  metrics::MetricRegistry& registry_;
  metrics::Counter& nonfinite_;
  metrics::Histogram& checkpoint_duration_;
  metrics::Histogram& collective_duration_;
  metrics::Histogram& label_staleness_;
  std::map<std::string, Heard> heard_;
  std::map<std::string, Process> processes_;
  std::size_t ranks_shown_ = 0;
  std::set<std::string, std::less<>> classes_shown_;
};

}  // namespace ferment::coordinator
