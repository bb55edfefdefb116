// SPDX-License-Identifier: Apache-2.0
#include "labeler/work_runner.h"

#include <chrono>
#include <ctime>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "common/dataset/labels/label_files.h"
#include "common/dataset/labels/label_set.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/write_probe.h"
#include "labeler/feature_work.h"
#include "labeler/late_stop.h"
#include "labeler/plan_agreement.h"
#include "labeler/shard_pipeline.h"

namespace ferment::labeler {
namespace {

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Counts CountsOf(const dataset::LabelSet& set) {
  const dataset::LabelCounts sums = set.Counts();
  Counts counts{sums.read, sums.labelled, sums.abstained, sums.quarantined, {}};
  counts.classes.assign(set.classes.size(), 0);
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (set.status[i] == dataset::LabelStatus::kLabelled) ++counts.classes[set.label[i]];
  }
  return counts;
}

Status Damaged(const dataset::LabelSet& set, double max_damage) {
  const auto counts = set.Counts();
  std::string reasons;
  for (const auto& [reason, count] : set.reasons) reasons += " " + reason + "=" + std::to_string(count);
  return DataLossError(
             "too many damaged records; mend the pack, or begin another run with a higher labeling.max_damage: shard=" +
             std::to_string(set.shard) + " read=" + std::to_string(counts.read) + " quarantined=" +
             std::to_string(counts.quarantined) + " max_damage=" + std::to_string(max_damage) + reasons)
      .WithExitCode(exit_code::kBadData);
}

Status PlanRefused(const RunSpec& spec, const Model& teacher, double agreement) {
  return FailedPreconditionError(
             spec.labeling().plan() +
             " gives other labels than fp32; set labeling.plan to fp32: agreement=" + std::to_string(agreement) +
             " allowed=" + std::to_string(kLeastAgreement) + " to 1 weights=" + teacher.file.string())
      .WithExitCode(exit_code::kBadData);
}

}  // namespace

void WorkRunner::TurnTo(const std::shared_ptr<const RunSpec>& spec) {
  if (spec_ == spec) return;
  spec_ = spec;
  annotator_.reset();
  source_.reset();
  canaries_.reset();
  written_.clear();
}

Status WorkRunner::TryOutput(const std::filesystem::path& folder,
                             Status (*try_to_write)(const std::filesystem::path&)) {
  if (written_.contains(folder)) return {};
  FERMENT_RETURN_IF_ERROR(try_to_write(folder));
  written_.insert(folder);
  return {};
}

Result<Annotator*> WorkRunner::AnnotatorFor(const RunSpec& spec, const Model& model) {
  const std::string key = spec.labeling().plan() + ":" + model.digest;
  if (annotator_ == nullptr || annotator_key_ != key) {
    annotator_.reset();
    FERMENT_ASSIGN_OR_RETURN(annotator_, open_(spec, model));
    annotator_key_ = key;
  }
  return annotator_.get();
}

Result<const dataset::RecordSource*> WorkRunner::Source() {
  if (source_ == nullptr) {
    FERMENT_ASSIGN_OR_RETURN(source_, dataset::OpenFr(*spec_, ending_));
  }
  return source_.get();
}

Result<std::vector<dataset::LabelledFace>> WorkRunner::CanariesFor(const Lease& lease, const LabelTask& task) {
  const std::uint64_t count = dataset::CanaryCount(*spec_, task.record_count);
  if (count == 0) return std::vector<dataset::LabelledFace>();
  if (!canaries_) {
    FERMENT_ASSIGN_OR_RETURN(canaries_, dataset::CanaryFaces::Open(*spec_));
  }
  return canaries_->Draw(spec_->seed(), task.teacher.digest, lease.key.shard, count);
}

Result<WorkOutcome> WorkRunner::Run(const Lease& lease, std::stop_token stop, std::atomic<std::uint64_t>& done) {
  const auto begin = std::chrono::steady_clock::now();
  const double cpu_begin = CpuSeconds();
  TurnTo(lease.spec);
  auto outcome = std::holds_alternative<LabelTask>(lease.work)
                     ? Label(lease, std::get<LabelTask>(lease.work), std::move(stop), done)
                     : ExtractFeatures(lease, std::get<FeatureTask>(lease.work), std::move(stop), done);
  if (!outcome) return outcome;
  outcome->result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  outcome->result.cpu_seconds = CpuSeconds() - cpu_begin;
  return outcome;
}

Result<WorkOutcome> WorkRunner::Label(const Lease& lease, const LabelTask& task, std::stop_token stop,
                                      std::atomic<std::uint64_t>& done) {
  const RunSpec& spec = *lease.spec;
  FERMENT_RETURN_IF_ERROR(TryOutput(task.teacher.output_dir, &dataset::TryToWriteLabels));
  FERMENT_ASSIGN_OR_RETURN(const dataset::RecordSource* source, Source());
  FERMENT_ASSIGN_OR_RETURN(Annotator * annotator, AnnotatorFor(spec, task.teacher));
  if (const auto agreement = annotator->agreement(); agreement && *agreement < kLeastAgreement) {
    return WorkOutcome{{}, PlanRefused(spec, task.teacher, *agreement), FailureCause::kPlanRefused};
  }
  FERMENT_ASSIGN_OR_RETURN(const auto canaries, CanariesFor(lease, task));
  ShardPipeline pipeline(*source, *annotator, {spec.labeling().tau(), spec.labeling().threshold()}, threads_);
  FERMENT_ASSIGN_OR_RETURN(LabelledShard shard,
                           pipeline.Run({task.first_record, task.record_count}, canaries, std::move(stop), done));
  dataset::LabelSet& set = shard.set;
  set.origin = {task.dataset, task.teacher.digest, task.label_config};
  set.shard = lease.key.shard;
  set.classes.assign(spec.classes().begin(), spec.classes().end());

  WorkOutcome outcome;
  outcome.result.counts = CountsOf(set);
  outcome.result.canaries = shard.canaries;
  outcome.result.confidence = shard.confidence;
  outcome.result.plan_agreement = annotator->agreement();
  outcome.result.reasons = set.reasons;
  if (TooDamaged(set.Counts(), spec.labeling().max_damage())) {
    outcome.failure = Damaged(set, spec.labeling().max_damage());
    return outcome;
  }
  const LateStop ending(ending_);
  FERMENT_ASSIGN_OR_RETURN(const auto file, dataset::WriteLabelSet(task.teacher.output_dir, set, ending.token()));
  outcome.result.files.push_back({task.teacher.output_dir / file.file, file.sha256});
  return outcome;
}

Result<WorkOutcome> WorkRunner::ExtractFeatures(const Lease& lease, const FeatureTask& task, std::stop_token stop,
                                                std::atomic<std::uint64_t>& done) {
  WorkOutcome outcome;
  for (const Model& model : task.models) FERMENT_RETURN_IF_ERROR(TryOutput(model.output_dir, &io::TryToWriteIn));
  FERMENT_ASSIGN_OR_RETURN(const auto videos, VideosByName(*lease.spec, task.videos));
  // Features are trained on and measured: their arithmetic is not that of labels.
  RunSpec exact = *lease.spec;
  exact.mutable_labeling()->set_plan("fp32");
  for (const Model& model : task.models) {
    FERMENT_ASSIGN_OR_RETURN(Annotator * annotator, AnnotatorFor(exact, model));
    for (const dataset::Video& video : videos) {
      FeatureExtraction extraction{*lease.spec, task.dataset, model, threads_};
      FERMENT_ASSIGN_OR_RETURN(const FeatureFile written, ExtractVideo(extraction, video, *annotator, stop, done));
      outcome.result.files.push_back({written.file, written.sha256});
      if (&model != &task.models.front()) continue;
      outcome.result.counts.read += written.read;
      outcome.result.counts.labelled += written.read - written.quarantined;
      outcome.result.counts.quarantined += written.quarantined;
      for (const auto& [reason, count] : written.reasons) outcome.result.reasons[reason] += count;
    }
  }
  const auto& counts = outcome.result.counts;
  if (TooDamaged({counts.read, counts.labelled, counts.abstained, counts.quarantined},
                 lease.spec->labeling().max_damage())) {
    outcome.failure =
        DataLossError(
            "too many damaged frames; mend the videos, or begin another run with a higher labeling.max_damage: group=" +
            (task.videos.empty() ? "" : task.videos.front()) + " read=" + std::to_string(counts.read) +
            " quarantined=" + std::to_string(counts.quarantined))
            .WithExitCode(exit_code::kBadData);
  }
  return outcome;
}

}  // namespace ferment::labeler
