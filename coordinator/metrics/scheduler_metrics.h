// SPDX-License-Identifier: Apache-2.0
//
// Every metric of the coordinator: name, help and labels.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "common/metrics/distribution.h"
#include "common/metrics/metric.h"
#include "coordinator/core/job_book.h"
#include "coordinator/metrics/trainer_metrics.h"

namespace ferment::coordinator {

/// What was refused, by reason: "queue_full", "held_work", "bytes", "connections", "connections_of_a_peer".
metrics::Counter& RejectedCounter(metrics::MetricRegistry& registry, const std::string& reason);

/// Owns nothing: the registry outlives it. Thread: any; Count and Mirror from one at a
/// time.
class SchedulerMetrics {
 public:
  explicit SchedulerMetrics(metrics::MetricRegistry& registry);

  /// A committed shard's records. `classes`: names of the histogram's classes; none: frames of a video. Quarantined
  /// records count once, whatever `reasons` come to; those of a reason past the first eleven are of "other".
  void Count(const RecordCounts& counts, const std::map<std::string, std::uint64_t>& reasons,
             std::span<const std::string> classes);
  void Count(const CanaryCounts& canaries);
  /// A run of these classes is there: they have series from now on, at 0 before their first label. Classes past the
  /// first sixteen of all runs are of "other".
  void ShowClasses(std::span<const std::string> classes);
  /// A committed shard's confidences by metrics::kConfidenceBounds. Others are left out.
  void CountConfidence(const metrics::Distribution& confidence);
  /// A teacher was stopped.
  void CountStop(TripCause cause);
  /// Sets the gauges that mirror the book.
  void Mirror(const JobBook& book);
  /// Call before Mirror where a run has ended or was reopened since the last time: Mirror looks at the others alone.
  void SumUpEnded(const JobBook& book);

 private:
  metrics::Counter& LabelledOf(const std::string& name);
  metrics::Counter& QuarantinedOf(const std::string& reason);

  metrics::MetricRegistry& registry_;

 public:
  metrics::Counter& lease_granted;
  metrics::Counter& lease_expired;
  metrics::Counter& cool_down;
  metrics::Gauge& labelers_cooling_down;
  metrics::Counter& commit_ok;
  metrics::Counter& commit_duplicate;
  metrics::Counter& commit_fenced;
  metrics::Counter& commit_conflict;
  metrics::Counter& records_read;
  metrics::Counter& video_frames;
  metrics::Counter& records_abstained;
  metrics::Counter& canaries_checked;
  metrics::Counter& canaries_correct;
  metrics::Counter& rejected;
  /// Commits, renewals and the like: what it takes to keep a lease or a run.
  metrics::Counter& rejected_held_work;
  /// Whose requests' bytes would not have fitted.
  metrics::Counter& rejected_bytes;
  metrics::Counter& abandoned;
  metrics::Gauge& label_drift;
  metrics::Gauge& plan_agreement;
  metrics::Gauge& queue_depth;
  metrics::Gauge& leading;
  metrics::Gauge& term;
  metrics::Counter& store_reconnects;
  metrics::Gauge& suspect_shards;
  /// Published by the newest run.
  metrics::Gauge& teacher_version;
  metrics::Histogram& shard_label_duration;
  metrics::Histogram& label_confidence;
  TrainerMetrics trainers;

 private:
  /// Jobs by phase and state.
  using PhaseCounts = std::array<std::array<std::uint64_t, 6>, 7>;
  struct Sums {
    std::array<std::uint64_t, 4> shards{};
    PhaseCounts phases{};
    std::size_t suspects = 0;
    void Add(const Run& run);
  };
  /// Of the runs that have ended.
  Sums ended_;
  PhaseCounts mirrored_phases_{};
  /// By class, and "other" once there are too many. To ask the registry for one costs more than the rest of a commit's
  /// counting.
  std::map<std::string, metrics::Counter*, std::less<>> labelled_;
  /// By reason: a labeler may name what it likes.
  std::map<std::string, metrics::Counter*, std::less<>> quarantined_;
  std::array<metrics::Gauge*, 4> shards_;
  std::array<std::array<metrics::Gauge*, 6>, 7> phases_;
};

}  // namespace ferment::coordinator
