// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics/trainer_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace ferment::coordinator {
namespace {

constexpr std::string_view kClassF1 = "student_f1_";
/// RunSpec.classes.
constexpr std::size_t kClassesShown = 8;

/// Returns: the figure where it was told and is finite, else `otherwise`.
double FigureOr(const TrainerFigures& figures, const std::string& name, double otherwise) {
  const auto found = figures.find(name);
  return found != figures.end() && std::isfinite(found->second) ? found->second : otherwise;
}

/// All that labelers do not work on.
constexpr std::array kTrainerPhases = {Phase::kTeacher, Phase::kCotrain, Phase::kFinetune, Phase::kTemporal,
                                       Phase::kEvaluate};

/// What a co-training says of feedback that did not reach its teacher: "feedback_dropped_" and one of these.
constexpr std::array kDropReasons = {"undone", "before_start", "no_student_step"};

metrics::Counter& DroppedCounter(metrics::MetricRegistry& registry, const char* reason) {
  return registry.MakeCounter("ferment_feedback_dropped_total",
                              "Steps of co-training whose feedback did not reach the teacher, by why.",
                              {{"reason", reason}});
}

metrics::Labels LabelOf(Phase phase) { return {{"phase", std::string(PhaseName(phase))}}; }

metrics::Counter& SamplesCounter(metrics::MetricRegistry& registry, Phase phase) {
  return registry.MakeCounter("ferment_train_samples_total", "Samples that trainers went through.", LabelOf(phase));
}

metrics::Gauge& RankGauge(metrics::MetricRegistry& registry, std::size_t rank) {
  return registry.MakeGauge("ferment_rank_last_progress_timestamp_seconds",
                            "When the rank last went on, since 1970; 0: no job at its steps has such a rank.",
                            {{"rank", rank < kRanksShown ? std::to_string(rank) : std::to_string(kRanksShown) + "+"}});
}

/// Adds what `now` has more than `before`, which is empty or of the same bounds. Where something is less, `now` is a
/// report that came late.
void AddGrowth(metrics::Histogram& histogram, metrics::Distribution& before, const metrics::Distribution& now) {
  before.counts.resize(now.counts.size());
  if (!std::ranges::equal(before.counts, now.counts, std::ranges::less_equal())) return;
  std::vector<std::uint64_t> growth = now.counts;
  for (std::size_t i = 0; i < growth.size(); ++i) growth[i] -= before.counts[i];
  histogram.Add(growth, now.sum - before.sum);
  before = now;
}

template <std::size_t n>
metrics::Histogram& HistogramOf(metrics::MetricRegistry& registry, const std::string& name, const std::string& help,
                                const std::array<double, n>& bounds, const metrics::Labels& labels = {}) {
  return registry.MakeHistogram(name, help, {bounds.begin(), bounds.end()}, labels);
}

metrics::Histogram& StepHistogram(metrics::MetricRegistry& registry, Phase phase) {
  return HistogramOf(registry, "ferment_train_step_duration_seconds",
                     "Time that rank 0 took for a step, with the validation that falls into it.",
                     metrics::kStepSecondsBounds, LabelOf(phase));
}

void AddGrowth(metrics::Counter& counter, double& before, double now, bool fresh) {
  if (!fresh && now > before) counter.Add(now - before);
  before = now;
}

}  // namespace

TrainerMetrics::TrainerMetrics(metrics::MetricRegistry& registry)
    : registry_(registry),
      nonfinite_(registry.MakeCounter("ferment_train_nonfinite_total", "Training steps that were not finite.")),
      checkpoint_duration_(registry.MakeHistogram("ferment_checkpoint_duration_seconds",
                                                  "Time that a checkpoint took to be written.",
                                                  {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300})),
      collective_duration_(HistogramOf(registry, "ferment_collective_duration_seconds",
                                       "Time that rank 0 spent in a collective, with the wait for the other ranks.",
                                       metrics::kCollectiveSecondsBounds)),
      label_staleness_(HistogramOf(registry, "ferment_label_staleness_versions",
                                   "Steps of co-training by how many versions behind the round's teacher the one is "
                                   "whose label sets are in use.",
                                   metrics::kStalenessBounds)) {
  for (const char* reason : kDropReasons) DroppedCounter(registry_, reason);
  for (const Phase phase : kTrainerPhases) {
    SamplesCounter(registry_, phase);
    StepHistogram(registry_, phase);
  }
}

void TrainerMetrics::Begin(const std::string& job, std::uint32_t attempt) {
  if (attempt == 1) heard_[job] = {};
  Process& process = processes_[job] = {};
  process.dropped_known = process.distributions_known = true;
  ShowRanks();
}

void TrainerMetrics::End(const std::string& job) {
  processes_.erase(job);
  ShowRanks();
}

void TrainerMetrics::Forget(const std::string& job) {
  heard_.erase(job);
  End(job);
}

void TrainerMetrics::Report(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
                            double now_seconds) {
  const auto [at, fresh] = heard_.try_emplace(job);
  const metrics::Labels labels = LabelOf(phase);
  AddGrowth(SamplesCounter(registry_, phase), at->second.samples, static_cast<double>(samples), fresh);
  AddGrowth(nonfinite_, at->second.nonfinite, FigureOr(figures, "nonfinite", at->second.nonfinite), fresh);
  HearCheckpoint(at->second, fresh, figures, now_seconds);
  HearDropped(processes_[job], figures);
  const auto mirror = [&](const char* figure, const std::string& name, const std::string& help,
                          const metrics::Labels& of) {
    const double value = FigureOr(figures, figure, NAN);
    if (!std::isnan(value)) registry_.MakeGauge(name, help, of).Set(value);
  };
  mirror("loss", "ferment_train_loss", "Loss of the last step reported.", labels);
  mirror("h", "ferment_feedback_coefficient", "h, the student's feedback to the teacher, of the last step reported.",
         {});
  mirror("feedback_cosine", "ferment_feedback_gradient_cosine",
         "Cosine of the student's gradients on labels and on pseudo-labels, of the last step reported.", {});
  mirror("temporal_flip_ratio", "ferment_temporal_flip_ratio",
         "Share of neighbouring frames of the validation videos whose predictions differ, as last evaluated.", {});
  mirror(phase == Phase::kEvaluate ? "macro_f1_student" : "macro_f1", "ferment_eval_macro_f1_ratio",
         "Macro F1 on the validation faces as last measured, by phase.", labels);
}

void TrainerMetrics::Complete(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
                              double now_seconds) {
  Report(job, phase, samples, figures, now_seconds);
  Forget(job);
  for (auto at = figures.lower_bound(std::string(kClassF1)); at != figures.end() && at->first.starts_with(kClassF1);
       ++at) {
    if (!std::isfinite(at->second)) continue;
    const std::string name = at->first.substr(kClassF1.size());
    if (classes_shown_.size() < kClassesShown) classes_shown_.insert(name);
    if (!classes_shown_.contains(name)) continue;
    registry_
        .MakeGauge("ferment_eval_f1_ratio", "F1 of the exported student on the validation faces, by class.",
                   {{"class", name}})
        .Set(at->second);
  }
}

void TrainerMetrics::Count(const std::string& job, Phase phase, const TrainerDistributions& distributions) {
  Process& process = processes_[job];
  const auto take = [&](const std::string& name, std::span<const double> bounds, const auto& histogram) {
    const auto now = distributions.find(name);
    if (now == distributions.end() || !now->second.Fits(bounds)) return;
    const auto before =
        process.distributions.try_emplace(name, process.distributions_known ? metrics::Distribution() : now->second);
    AddGrowth(histogram(), before.first->second, now->second);
  };
  take("step_seconds", metrics::kStepSecondsBounds,
       [&]() -> metrics::Histogram& { return StepHistogram(registry_, phase); });
  take("collective_seconds", metrics::kCollectiveSecondsBounds,
       [&]() -> metrics::Histogram& { return collective_duration_; });
  take("label_staleness", metrics::kStalenessBounds, [&]() -> metrics::Histogram& { return label_staleness_; });
  process.distributions_known = true;
}

void TrainerMetrics::HearRanks(const std::string& job, std::span<const double> idle_seconds, double now_seconds) {
  std::vector<double>& moved = processes_[job].moved;
  moved.clear();
  for (const double idle : idle_seconds) moved.push_back(now_seconds - (std::isfinite(idle) ? std::max(idle, 0.0) : 0));
  ShowRanks();
}

void TrainerMetrics::ShowRanks() {
  std::vector<double> oldest(ranks_shown_, 0);
  for (const auto& [job, process] : processes_) {
    oldest.resize(std::max(oldest.size(), std::min(process.moved.size(), kRanksShown + 1)), 0);
    for (std::size_t rank = 0; rank < process.moved.size(); ++rank) {
      double& shown = oldest[std::min(rank, kRanksShown)];
      shown = shown == 0 ? process.moved[rank] : std::min(shown, process.moved[rank]);
    }
  }
  for (std::size_t rank = 0; rank < oldest.size(); ++rank) RankGauge(registry_, rank).Set(oldest[rank]);
  ranks_shown_ = oldest.size();
}

void TrainerMetrics::HearDropped(Process& process, const TrainerFigures& figures) {
  for (const char* reason : kDropReasons) {
    const double now = FigureOr(figures, std::string("feedback_dropped_") + reason, NAN);
    if (std::isnan(now)) continue;
    double& before = process.dropped.try_emplace(reason, process.dropped_known ? 0 : now).first->second;
    if (now <= before) continue;
    DroppedCounter(registry_, reason).Add(now - before);
    before = now;
  }
  process.dropped_known = true;
}

void TrainerMetrics::HearCheckpoint(Heard& heard, bool fresh, const TrainerFigures& figures, double now_seconds) {
  // Two writes never take the same time to the last bit, so another time is another checkpoint.
  const double seconds = FigureOr(figures, "checkpoint_write_seconds", heard.checkpoint_seconds);
  if (seconds == heard.checkpoint_seconds) return;
  heard.checkpoint_seconds = seconds;
  registry_.MakeGauge("ferment_checkpoint_size_bytes", "Size of the last checkpoint.")
      .Set(FigureOr(figures, "checkpoint_bytes", 0));
  // Of one that was there when this process first heard of the job nobody knows here when it was written.
  if (fresh) return;
  checkpoint_duration_.Observe(seconds);
  registry_
      .MakeGauge("ferment_checkpoint_last_success_timestamp_seconds",
                 "When the last checkpoint was reported, since 1970.")
      .Set(now_seconds);
}

}  // namespace ferment::coordinator
