// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trainer_metrics.h"

#include <cmath>
#include <string_view>

namespace ferment::coordinator {
namespace {

constexpr std::string_view kClassF1 = "student_f1_";

/// Returns: the figure where it was told and is finite, else `otherwise`.
double FigureOr(const TrainerFigures& figures, const std::string& name, double otherwise) {
  const auto found = figures.find(name);
  return found != figures.end() && std::isfinite(found->second) ? found->second : otherwise;
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
                                                  {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300})) {}

void TrainerMetrics::Report(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
                            double now_seconds) {
  const auto [at, fresh] = heard_.try_emplace(job);
  const metrics::Labels labels = {{"phase", std::string(PhaseName(phase))}};
  AddGrowth(registry_.MakeCounter("ferment_train_samples_total", "Samples that trainers went through.", labels),
            at->second.samples, static_cast<double>(samples), fresh);
  AddGrowth(nonfinite_, at->second.nonfinite, FigureOr(figures, "nonfinite", at->second.nonfinite), fresh);
  HearCheckpoint(at->second, fresh, figures, now_seconds);
  const auto mirror = [&](const char* figure, const std::string& name, const std::string& help,
                          const metrics::Labels& of) {
    const double value = FigureOr(figures, figure, NAN);
    if (!std::isnan(value)) registry_.MakeGauge(name, help, of).Set(value);
  };
  mirror("loss", "ferment_train_loss", "Loss of the last step reported.", labels);
  mirror("h", "ferment_feedback_coefficient", "h, the student's feedback to the teacher, of the last step reported.",
         {});
  mirror(phase == Phase::kEvaluate ? "macro_f1_student" : "macro_f1", "ferment_eval_macro_f1_ratio",
         "Macro F1 on the validation faces as last measured, by phase.", labels);
}

void TrainerMetrics::Complete(const std::string& job, Phase phase, std::uint64_t samples, const TrainerFigures& figures,
                              double now_seconds) {
  Report(job, phase, samples, figures, now_seconds);
  heard_.erase(job);
  for (auto at = figures.lower_bound(std::string(kClassF1)); at != figures.end() && at->first.starts_with(kClassF1);
       ++at) {
    if (!std::isfinite(at->second)) continue;
    registry_
        .MakeGauge("ferment_eval_f1_ratio", "F1 of the exported student on the validation faces, by class.",
                   {{"class", at->first.substr(kClassF1.size())}})
        .Set(at->second);
  }
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
