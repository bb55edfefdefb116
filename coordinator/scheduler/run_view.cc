// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/run_view.h"

#include <algorithm>

#include "coordinator/core/accuracy_sequence.h"
#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {
namespace {

constexpr int kTermShift = 32;

double Seconds(const Job& job, std::int64_t now_wall_ms) {
  if (job.started_wall_ms == 0) return 0;
  const std::int64_t end = HasEnded(job.state) ? job.ended_wall_ms : now_wall_ms;
  return static_cast<double>(std::max<std::int64_t>(0, end - job.started_wall_ms)) / 1000;
}

void FillTrainerJob(JobView& view, const Run& run, const Job& job, const LiveFigures& live) {
  const TrainerProgress* progress = live.trainers.ProgressOf(run.run_id, job.plan.job_id);
  if (progress != nullptr) {
    view.done = progress->step;
    view.total = progress->total_steps;
    view.metrics = progress->metrics;
    view.usage = progress->usage;
    if (job.state == JobState::kRunning) view.rate = live.trainers.SampleRate(run.run_id, job.plan.job_id);
  }
  if (!job.attempt.completed) {
    if (job.state == JobState::kRunning) view.waiting = live.trainers.WaitOf(run.run_id, job.plan.job_id);
    return;
  }
  view.usage = job.usage;
  for (const auto& [name, value] : job.metrics) view.metrics[name] = value;
  view.done = view.total;
}

void FillCanaries(JobView& view, const Job& job, const RunSpec& spec) {
  if (job.canaries.checked == 0) return;
  const AccuracySequence sequence(spec.labeling().min_accuracy(), job.canaries);
  view.metrics["canaries"] = static_cast<double>(job.canaries.checked);
  view.metrics["canary_accuracy"] = sequence.Mean();
  view.metrics["canary_accuracy_at_most"] = sequence.UpperBound();
}

void FillShardJob(JobView& view, const Run& run, const Job& job, const LiveFigures& live) {
  view.done = job.committed;
  view.total = job.shards.size();
  view.usage = job.usage;
  view.records = job.records;
  view.shards = {job.CountPending(), job.leased.size(), job.committed, job.failed, job.letters};
  if (job.state != JobState::kRunning) return;
  view.rate = live.leases.RecordRate(run.run_id, job.plan.job_id);
  view.usage.samples += live.leases.RecordsInProgress(run, job);
}

}  // namespace

RunView MakeRunView(const JobBook& book, const Run& run, const RunSpec& spec, const LiveFigures& live) {
  RunView view;
  view.run_id = run.run_id;
  view.name = run.name;
  view.run_dir = run.run_dir;
  view.state = run.state;
  view.suspended = run.suspended;
  view.ending = IsEnding(run);
  view.priority = run.priority;
  view.failure = run.failure;
  view.classes = {spec.classes().begin(), spec.classes().end()};
  for (const Job& job : run.jobs) {
    JobView& one = view.jobs.emplace_back();
    one.job_id = job.plan.job_id;
    one.phase = job.plan.phase;
    one.round = job.plan.round;
    one.state = job.state;
    one.attempts = job.attempt.number;
    one.seconds = Seconds(job, live.now_wall_ms);
    one.failure = job.failure.message;
    if (IsShardPhase(job.plan.phase)) {
      FillShardJob(one, run, job, live);
      FillCanaries(one, job, spec);
    } else {
      FillTrainerJob(one, run, job, live);
    }
  }
  for (const auto& [labeler_id, labeler] : book.labelers()) {
    view.labelers.push_back({labeler.name, labeler.shards_committed, labeler.records,
                             live.labelers.RecordRate(labeler_id), labeler.failures,
                             std::chrono::duration<double>(live.labelers.CoolDownLeft(labeler)).count()});
  }
  view.revision = (live.term << kTermShift) + run.revision + live.leases.changes() + live.trainers.changes();
  return view;
}

}  // namespace ferment::coordinator
