// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics/scheduler_metrics.h"

#include <algorithm>
#include <string_view>

#include "coordinator/core/suspect.h"

namespace ferment::coordinator {
namespace {

/// With "other" the dozen that operations.md speaks of.
constexpr std::size_t kReasonsShown = 11;
constexpr char kOther[] = "other";
/// Two runs of eight each that have none in common.
constexpr std::size_t kClassesShown = 16;

/// Returns: whether it has the form of a reason: lower-case letters, digits and hyphens, 32 at most.
bool LooksLikeAReason(std::string_view name) {
  return !name.empty() && name.size() <= 32 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

metrics::Counter& CommitCounter(metrics::MetricRegistry& registry, const std::string& result) {
  return registry.MakeCounter("ferment_commit_total", "Shard results that labelers handed in.", {{"result", result}});
}

metrics::Counter& QuarantineCounter(metrics::MetricRegistry& registry, const std::string& reason) {
  return registry.MakeCounter("ferment_records_quarantined_total", "Records that could not be read, by reason.",
                              {{"reason", reason}});
}

metrics::Counter& LabelledCounter(metrics::MetricRegistry& registry, const std::string& name) {
  return registry.MakeCounter("ferment_records_labelled_total", "Records that got a pseudo-label, by class.",
                              {{"class", name}});
}

metrics::Counter& StopCounter(metrics::MetricRegistry& registry, TripCause cause) {
  return registry.MakeCounter("ferment_teacher_stopped_total", "Teachers that were shown to be bad, by what.",
                              {{"cause", std::string(TripCauseName(cause))}});
}

double CountTeachers(const Run& run) {
  return static_cast<double>(std::ranges::count_if(run.jobs, [](const Job& job) {
    return job.state == JobState::kSucceeded &&
           (job.plan.phase == Phase::kTeacher || job.plan.phase == Phase::kCotrain);
  }));
}

}  // namespace

metrics::Counter& RejectedCounter(metrics::MetricRegistry& registry, const std::string& reason) {
  return registry.MakeCounter("ferment_admission_rejected_total", "Requests refused because too much waits.",
                              {{"reason", reason}});
}

SchedulerMetrics::SchedulerMetrics(metrics::MetricRegistry& registry)
    : registry_(registry),
      lease_granted(registry.MakeCounter("ferment_lease_granted_total", "Leases granted to labelers.")),
      lease_expired(registry.MakeCounter("ferment_lease_expired_total", "Leases that ran out.")),
      cool_down(registry.MakeCounter("ferment_labeler_cool_down_total",
                                     "Times that a labeler was refused leases for a while after failures in a row.")),
      labelers_cooling_down(registry.MakeGauge("ferment_labelers_cooling_down",
                                               "Labelers that are granted nothing now, since they failed in a row.")),
      commit_ok(CommitCounter(registry, "ok")),
      commit_duplicate(CommitCounter(registry, "duplicate")),
      commit_fenced(CommitCounter(registry, "fenced")),
      commit_conflict(CommitCounter(registry, "conflict")),
      records_read(
          registry.MakeCounter("ferment_records_read_total", "Records and frames of videos in committed shards.")),
      video_frames(registry.MakeCounter("ferment_video_frames_total", "Frames of videos that got features.")),
      records_abstained(registry.MakeCounter("ferment_records_abstained_total", "Records below the threshold.")),
      canaries_checked(registry.MakeCounter("ferment_pseudo_label_canary_checked_total",
                                            "Held-out labelled faces that went through a teacher among the records.")),
      canaries_correct(
          registry.MakeCounter("ferment_pseudo_label_canary_correct_total", "Canaries that a teacher named rightly.")),
      rejected(RejectedCounter(registry, "queue_full")),
      rejected_held_work(RejectedCounter(registry, "held_work")),
      rejected_bytes(RejectedCounter(registry, "bytes")),
      abandoned(registry.MakeCounter("ferment_admission_abandoned_total",
                                     "Requests that were dropped, since their callers had given up waiting.")),
      label_drift(registry.MakeGauge("ferment_pseudo_label_drift_index",
                                     "Population stability index of the labels of the teacher at work against those "
                                     "of the last accepted one.")),
      plan_agreement(
          registry.MakeGauge("ferment_label_plan_agreement_ratio",
                             "Share of labels in which the int8 plan of the last committed shard agreed with "
                             "fp32 when it was made.")),
      queue_depth(registry.MakeGauge("ferment_queue_depth", "Requests that wait for the scheduler.")),
      leading(registry.MakeGauge("ferment_coordinator_leading",
                                 "1 while this coordinator leads and its store answers, else 0.")),
      term(registry.MakeGauge("ferment_coordinator_term", "The term under which this coordinator leads, 0 before.")),
      store_reconnects(registry.MakeCounter("ferment_store_reconnects_total",
                                            "Sessions with the store that were lost and made again.")),
      suspect_shards(
          registry.MakeGauge("ferment_suspect_shards", "Shards of running jobs that several labelers died with.")),
      teacher_version(
          registry.MakeGauge("ferment_teacher_version", "Teachers that the newest run has published, one a round.")),
      shard_label_duration(registry.MakeHistogram("ferment_shard_label_duration_seconds",
                                                  "Time that labelers took for the shards that they committed.",
                                                  {0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500})),
      label_confidence(registry.MakeHistogram(
          "ferment_pseudo_label_confidence",
          "Confidence of the teacher in the records of committed shards, labelled and abstained.",
          {metrics::kConfidenceBounds.begin(), metrics::kConfidenceBounds.end()})),
      trainers(registry) {
  static constexpr std::array<const char*, 4> kShardStates = {"pending", "leased", "committed", "failed"};
  for (std::size_t i = 0; i < kShardStates.size(); ++i) {
    shards_[i] = &registry.MakeGauge("ferment_shards", "Shards of jobs that labelers work on, by state.",
                                     {{"state", kShardStates[i]}});
  }
  for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
    for (std::size_t state = 0; state < phases_[phase].size(); ++state) {
      phases_[phase][state] = &registry.MakeGauge("ferment_phases", "Jobs of all runs, by phase and state.",
                                                  {{"phase", std::string(PhaseName(static_cast<Phase>(phase)))},
                                                   {"state", std::string(JobStateName(static_cast<JobState>(state)))}});
    }
  }
  quarantined_[kOther] = &QuarantineCounter(registry_, kOther);
  for (const TripCause cause :
       {TripCause::kAccuracy, TripCause::kCollapsed, TripCause::kAcceptance, TripCause::kDrift, TripCause::kOperator})
    StopCounter(registry_, cause);
}

void SchedulerMetrics::Count(const CanaryCounts& canaries) {
  canaries_checked.Add(static_cast<double>(canaries.checked));
  canaries_correct.Add(static_cast<double>(canaries.correct));
}

void SchedulerMetrics::CountConfidence(const metrics::Distribution& confidence) {
  if (confidence.Fits(metrics::kConfidenceBounds)) label_confidence.Add(confidence.counts, confidence.sum);
}

void SchedulerMetrics::CountStop(TripCause cause) { StopCounter(registry_, cause).Increment(); }

void SchedulerMetrics::ShowClasses(std::span<const std::string> classes) {
  for (const std::string& name : classes) LabelledOf(name);
}

metrics::Counter& SchedulerMetrics::LabelledOf(const std::string& name) {
  if (const auto known = labelled_.find(name); known != labelled_.end()) return *known->second;
  const std::string shown = labelled_.size() < kClassesShown ? name : kOther;
  metrics::Counter*& counter = labelled_[shown];
  if (counter == nullptr) counter = &LabelledCounter(registry_, shown);
  return *counter;
}

metrics::Counter& SchedulerMetrics::QuarantinedOf(const std::string& reason) {
  const auto known = quarantined_.find(reason);
  if (known != quarantined_.end()) return *known->second;
  if (quarantined_.size() > kReasonsShown || !LooksLikeAReason(reason)) return *quarantined_.at(kOther);
  return *(quarantined_[reason] = &QuarantineCounter(registry_, reason));
}

void SchedulerMetrics::Count(const RecordCounts& counts, const std::map<std::string, std::uint64_t>& reasons,
                             std::span<const std::string> classes) {
  records_read.Add(static_cast<double>(counts.read));
  if (classes.empty()) {
    video_frames.Add(static_cast<double>(counts.labelled));
  } else {
    const std::size_t told = std::min(classes.size(), counts.class_histogram.size());
    for (std::size_t label = 0; label < told; ++label) {
      LabelledOf(classes[label]).Add(static_cast<double>(counts.class_histogram[label]));
    }
  }
  records_abstained.Add(static_cast<double>(counts.abstained));
  std::uint64_t unnamed = counts.quarantined;
  for (const auto& [reason, count] : reasons) {
    const std::uint64_t counted = std::min(count, unnamed);
    if (counted > 0) QuarantinedOf(reason).Add(static_cast<double>(counted));
    unnamed -= counted;
  }
  if (unnamed > 0) QuarantinedOf(kOther).Add(static_cast<double>(unnamed));
}

void SchedulerMetrics::Sums::Add(const Run& run) {
  for (const Job& job : run.jobs) {
    ++phases[static_cast<std::size_t>(job.plan.phase)][static_cast<std::size_t>(job.state)];
    shards[0] += job.CountPending();
    shards[1] += job.leased.size();
    shards[2] += job.committed;
    shards[3] += job.failed;
    if (job.state == JobState::kRunning) suspects += CountSuspects(job);
  }
}

void SchedulerMetrics::SumUpEnded(const JobBook& book) {
  ended_ = {};
  for (const std::string& run_id : book.run_order()) {
    const Run& run = *book.FindRun(run_id);
    if (run.state != RunState::kRunning) ended_.Add(run);
  }
}

void SchedulerMetrics::Mirror(const JobBook& book) {
  Sums sums = ended_;
  for (const std::string& run_id : book.unfinished()) sums.Add(*book.FindRun(run_id));
  const auto& [shards, phases, suspects] = sums;
  for (std::size_t i = 0; i < shards.size(); ++i) shards_[i]->Set(static_cast<double>(shards[i]));
  suspect_shards.Set(static_cast<double>(suspects));
  if (!book.run_order().empty()) teacher_version.Set(CountTeachers(*book.FindRun(book.run_order().back())));
  if (phases == mirrored_phases_) return;
  mirrored_phases_ = phases;
  for (std::size_t phase = 0; phase < phases.size(); ++phase) {
    for (std::size_t state = 0; state < phases[phase].size(); ++state) {
      phases_[phase][state]->Set(static_cast<double>(phases[phase][state]));
    }
  }
}

}  // namespace ferment::coordinator
