// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/run_desk.h"

#include <algorithm>
#include <filesystem>

#include "common/base/logging.h"
#include "common/config/newer_fields.h"
#include "coordinator/core/run_number.h"
#include "coordinator/desks/phase_table.h"
#include "coordinator/desks/wall_time.h"

namespace ferment::coordinator {
namespace {

constexpr std::chrono::seconds kPrepareAgainAfter{5};

Failure ToFailure(const Status& status) { return {std::string(status.message()), ProcessExitCode(status)}; }

Status CheckSpec(const RunSpec& spec) {
  if (spec.name().empty()) return InvalidArgumentError("the spec has no name");
  if (spec.classes().empty() || !spec.has_teacher()) {
    return InvalidArgumentError("the spec is not resolved: submit it with `ferment submit`, which fills in defaults");
  }
  const std::string newer = FieldOfANewerVersion(spec);
  if (!newer.empty()) {
    return InvalidArgumentError(
        "the client is newer than this coordinator, which does not know a setting of its spec: "
        "field=spec." +
        newer);
  }
  return {};
}

/// A run that has ended, or is about to, stays what it was or goes on from what it had made.
Status CheckNothingIsGone(const Submission& submission, const Run& known) {
  const bool goes_on = known.state == RunState::kRunning && !known.cancel_requested && !FirstFailure(known);
  const bool made_nothing = std::none_of(known.jobs.begin(), known.jobs.end(),
                                         [](const Job& job) { return job.attempt.number > 0 || !job.shards.empty(); });
  if (!submission.new_folder || goes_on || made_nothing) return {};
  const bool ending = known.state == RunState::kRunning;
  return FailedPreconditionError(
             "this run was there before, and nothing of it is left in its folder: run=" + known.run_id +
             " state=" + (ending ? "ending" : std::string(RunStateName(known.state))) + " run_dir=" + known.run_dir +
             "; put back what it had made, or begin a new run: give another folder with --run-dir, "
             "or the spec another name")
      .WithExitCode(exit_code::kBadData);
}

/// Returns: the one way to write the folder, so that it is known again.
std::string FolderOf(const Submission& submission) {
  const auto plain = std::filesystem::path(submission.run_dir).lexically_normal();
  return (plain.has_filename() ? plain : plain.parent_path()).string();
}

/// Returns: whether the job may end as it is; else a trainer of it must leave first.
bool HasNoTrainer(const Job& job) {
  return job.state == JobState::kPending || IsShardPhase(job.plan.phase) || job.attempt.exit_code.has_value();
}

/// Returns: the first that has not begun. A job that runs since before a restart is not ended over its trainer's head;
/// WindDown stops that first.
const Job* NextJob(const Run& run) {
  for (const Job& job : run.jobs) {
    if (job.state != JobState::kPending) continue;
    return &job;
  }
  return nullptr;
}

RunFacts FactsOf(const RunSpec& spec) {
  return {spec.cotrain().rounds(), spec.data().has_videos() && !spec.data().videos().path().empty()};
}

}  // namespace

Status CheckRunDir(const std::string& run_dir) {
  if (!std::filesystem::path(run_dir).is_absolute()) {
    return InvalidArgumentError("run_dir must be an absolute path: run_dir=" + run_dir);
  }
  return run_dir.find('\0') == std::string::npos ? Status() : InvalidArgumentError("run_dir holds a NUL");
}

RunDesk::RunDesk(Parts parts)
    : parts_(std::move(parts)),
      indexes_({parts_.ledger, parts_.clock, parts_.run_files, parts_.files, parts_.come_back, parts_.fence,
                [this](const JobKey& key, const Status& status) { HandleIndexFailed(key, status); }}) {}

Result<std::string> RunDesk::Submit(const Submission& submission) {
  const JobBook& book = parts_.ledger.book();
  const std::string spec = submission.spec.SerializeAsString();
  if (!submission.request_id.empty()) {
    // With another spec it is no repetition: a client names its request by the folder, which may have been emptied.
    const Run* known = book.FindSubmission(submission.request_id);
    if (known != nullptr && known->spec == spec) {
      FERMENT_RETURN_IF_ERROR(CheckNothingIsGone(submission, *known));
      return known->run_id;
    }
  }
  FERMENT_RETURN_IF_ERROR(CheckRunDir(submission.run_dir));
  FERMENT_RETURN_IF_ERROR(CheckPriority(submission.priority));
  FERMENT_RETURN_IF_ERROR(CheckSpec(submission.spec));
  const std::string run_dir = FolderOf(submission);
  if (const Run* former = book.FindRunIn(run_dir)) {
    if (former->state == RunState::kRunning) {
      return Fail(AlreadyExistsError("an unfinished run has this folder: run=" + former->run_id +
                                     " run_dir=" + run_dir + "; wait for it, cancel it, or give another folder")
                      .WithExitCode(exit_code::kFenced));
    }
    if (former->spec == spec) {
      FERMENT_RETURN_IF_ERROR(CheckNothingIsGone(submission, *former));
      const std::string run_id = former->run_id;
      if (former->state == RunState::kSucceeded) return run_id;
      LogInfo("run.reopened", {{"run", run_id}, {"run_dir", run_dir}});
      parts_.ledger.Record(RunReopened{run_id, submission.request_id, WallMs(parts_.clock)});
      prepared_.erase(run_id);
      indexes_.ForgetAll();
      GivePriority(run_id, submission.priority);
      return run_id;
    }
  }
  const std::string run_id = RunIdOf(submission.spec.name(), book.CountSubmitted() + 1);
  LogInfo("run.submitted", {{"run", run_id}, {"run_dir", run_dir}});
  parts_.ledger.Record(RunSubmitted{run_id, submission.request_id, submission.spec.name(), run_dir, spec,
                                    PlanJobs(FactsOf(submission.spec)), WallMs(parts_.clock)});
  GivePriority(run_id, submission.priority);
  return run_id;
}

void RunDesk::GivePriority(const std::string& run_id, std::int32_t priority) {
  if (priority != 0) parts_.ledger.Record(RunUpdated{run_id, "", {}, priority, WallMs(parts_.clock)});
}

void RunDesk::Advance() {
  // None ends within: HandleFinished is another task.
  for (const std::string& run_id : parts_.ledger.book().unfinished()) AdvanceRun(*parts_.ledger.book().FindRun(run_id));
}

void RunDesk::Forget(const Run& run) {
  prepared_.erase(run.run_id);
  prepare_again_.erase(run.run_id);
  table_revisions_.erase(run.run_id);
  tables_.erase(run.run_id);
}

void RunDesk::Prepare(const Run& run) {
  const auto later = prepare_again_.find(run.run_id);
  if (later != prepare_again_.end() && parts_.clock.Now() < later->second) return;
  if (!preparing_.insert(run.run_id).second) return;
  parts_.ledger.AfterSave([this, spec = parts_.ledger.SpecOf(run), run_id = run.run_id, run_dir = run.run_dir,
                           owner = OwnerName(run.run_id, run.submitted_wall_ms)] {
    parts_.files.Post([this, spec, run_id, run_dir, owner] {
      const Status status = parts_.run_files.PrepareRun(*spec, run_dir, owner);
      parts_.come_back([this, run_id, status] { HandlePrepared(run_id, status); });
    });
  });
}

void RunDesk::HandlePrepared(const std::string& run_id, const Status& status) {
  preparing_.erase(run_id);
  if (!status.ok()) LogError("run.not_prepared", {{"run", run_id}, {"error", status.message()}});
  const Run* known = parts_.ledger.book().FindRun(run_id);
  if (known == nullptr) return;  // a slow task's run may have been forgotten
  const Run& run = *known;
  if (status.code() == StatusCode::kAborted && !run.cancel_requested && NextJob(run) == nullptr) {
    // No job is left that could fail for it: the run waits until it is given its folder.
    prepare_again_[run_id] = parts_.clock.Now() + kPrepareAgainAfter;
    return;
  }
  prepare_again_.erase(run_id);
  prepared_.insert(run_id);
  if (!status.ok()) FailBeforeNextJob(run, status);
}

void RunDesk::FailBeforeNextJob(const Run& run, const Status& why) {
  const Job* next = NextJob(run);
  if (next == nullptr) return;
  NoteDisk(run, why);
  EndJob(run, *next, JobState::kFailed, DescribeFailure(run, *next, ToFailure(why)));
}

void RunDesk::NoteDisk(const Run& run, const Status& status) {
  const auto told = FirstFailure(run);
  if (told && told->exit_code == exit_code::kStorageFailed) return;
  if (disk_failure_.ok() && DiskFailed(status)) disk_failure_ = status;
}

void RunDesk::AdvanceRun(const Run& run) {
  if (!prepared_.contains(run.run_id)) {
    Prepare(run);
    return;
  }
  if (run.cancel_requested || FirstFailure(run)) {
    WindDown(run);
  } else {
    for (const Job& job : run.jobs) AdvanceJob(run, job);
  }
  WritePhaseTable(run);
  if (Outcome(run)) Finish(run);
}

void RunDesk::AdvanceJob(const Run& run, const Job& job) {
  parts_.teachers.Judge(run, job);
  if (auto end = EndAfterStop(run, job)) {
    LeaveOut(run, job, *end);
    return;
  }
  if (MayStart(run, job)) {
    if (IsShardPhase(job.plan.phase)) {
      StartShards(run, job);
    } else {
      parts_.trainers.Start(run, job);
    }
    return;
  }
  if (job.state != JobState::kRunning) return;
  if (IsShardPhase(job.plan.phase)) {
    const bool indexed = job.plan.phase != Phase::kLabel || indexes_.IsCurrent(run, job);
    if (job.committed == job.shards.size() && indexed) EndJob(run, job, JobState::kSucceeded);
    return;
  }
  if (run.suspended) parts_.trainers.Stop(run, job);
  if (!job.attempt.exit_code) return;
  const ExitVerdict verdict = JudgeExit(run, job);
  switch (verdict.kind) {
    case ExitVerdict::Kind::kSucceeded:
      EndJob(run, job, JobState::kSucceeded);
      return;
    case ExitVerdict::Kind::kFailed:
      EndJob(run, job, JobState::kFailed, verdict.failure);
      return;
    case ExitVerdict::Kind::kStartAgain:
      if (run.suspended) return;
      if (!verdict.failure.message.empty() && !parts_.trainers.draining()) {
        LogWarning("job.again", {{"run", run.run_id},
                                 {"job", job.plan.job_id},
                                 {"reason", verdict.failure.message},
                                 {"next", "it starts again from its last checkpoint"}});
      }
      parts_.trainers.Start(run, job);
      return;
  }
}

void RunDesk::WindDown(const Run& run) {
  for (const Job& job : run.jobs) {
    if (HasEnded(job.state)) continue;
    if (IsShardPhase(job.plan.phase) && job.failed > 0 && job.state == JobState::kRunning) {
      EndJob(run, job, JobState::kFailed, DescribeFailure(run, job, job.failure));
    } else if (HasNoTrainer(job)) {
      EndJob(run, job, JobState::kCancelled);
    } else {
      parts_.trainers.Stop(run, job);
    }
  }
}

void RunDesk::LeaveOut(const Run& run, const Job& job, const JobEnd& end) {
  if (!HasNoTrainer(job)) {
    parts_.trainers.Stop(run, job);
    return;
  }
  if (IsShardPhase(job.plan.phase)) return EndJob(run, job, end.state, end.failure);
  // What a co-training has published is what the phases behind it would take: this run's, or an earlier one's.
  const JobKey key{run.run_id, job.plan.job_id};
  if (!withdrawing_.insert(key).second) return;
  parts_.ledger.AfterSave([this, key, end, run_dir = run.run_dir] {
    parts_.files.Post([this, key, end, run_dir] {
      const Status status = parts_.run_files.WithdrawResult(run_dir, key.second);
      parts_.come_back([this, key, end, status] { HandleWithdrawn(key, end, status); });
    });
  });
}

void RunDesk::HandleWithdrawn(const JobKey& key, const JobEnd& end, const Status& status) {
  withdrawing_.erase(key);
  const Run* run = parts_.ledger.book().FindRun(key.first);
  if (run == nullptr) return;
  NoteDisk(*run, status);
  const Job* job = run->FindJob(key.second);
  if (run->state != RunState::kRunning || run->cancel_requested || HasEnded(job->state) || !HasNoTrainer(*job)) return;
  if (status.ok()) return EndJob(*run, *job, end.state, end.failure);
  EndJob(*run, *job, JobState::kFailed,
         DescribeFailure(*run, *job, ToFailure(status.With("withdrawing what it published"))));
}

void RunDesk::StartShards(const Run& run, const Job& job) {
  const JobKey key{run.run_id, job.plan.job_id};
  if (parts_.trainers.draining() || !planning_.insert(key).second) return;
  LogInfo("job.start", {{"run", run.run_id}, {"job", job.plan.job_id}});
  const bool label = job.plan.phase == Phase::kLabel;
  const Job* source = run.FindJob(label ? TeacherSource(job.plan.round) : PhaseName(Phase::kFinetune));
  std::vector<ModelFile> models;
  for (const char* role : {label ? "teacher" : "student", label ? "" : "baseline"}) {
    const ModelFile* model = source->FindModel(role);
    if (model != nullptr) models.push_back(*model);
  }
  parts_.ledger.AfterSave([this, key, label, models, spec = parts_.ledger.SpecOf(run)] {
    parts_.files.Post([this, key, label, models, spec] {
      Result<ShardPlan> plan = Fail(DataLossError("the job before it published no model that this one needs"));
      if (!models.empty()) {
        plan = label ? parts_.run_files.PlanLabelling(*spec, models[0]) : parts_.run_files.PlanFeatures(*spec, models);
      }
      parts_.come_back([this, key, plan] { HandlePlan(key, plan); });
    });
  });
}

void RunDesk::HandlePlan(const JobKey& key, const Result<ShardPlan>& plan) {
  planning_.erase(key);
  const Run* run = parts_.ledger.book().FindRun(key.first);
  if (run == nullptr) return;
  const Job* job = run->FindJob(key.second);
  if (run->state != RunState::kRunning || run->cancel_requested || run->suspended) return;
  if (job->state != JobState::kPending) return;
  if (!plan) {
    EndJob(*run, *job, JobState::kFailed, DescribeFailure(*run, *job, ToFailure(plan.error())));
    return;
  }
  ShardsPlanned event{key.first, key.second, plan->work, plan->shards, WallMs(parts_.clock)};
  std::vector<PlannedShard> present;
  for (const Shard& shard : job->shards) present.push_back(shard.plan);
  if (present == plan->shards && job->work.models == plan->work.models &&
      job->work.label_config == plan->work.label_config) {
    event.shards.clear();
  }
  indexes_.Forget(key);
  parts_.ledger.Record(std::move(event));
}

void RunDesk::HandleIndexFailed(const JobKey& key, const Status& status) {
  const Run* run = parts_.ledger.book().FindRun(key.first);
  if (run == nullptr) return;
  NoteDisk(*run, status);
  const Job* job = run->FindJob(key.second);
  if (job->state != JobState::kRunning) return;
  EndJob(*run, *job, JobState::kFailed, DescribeFailure(*run, *job, ToFailure(status.With("writing index.json"))));
}

void RunDesk::EndJob(const Run& run, const Job& job, JobState state, Failure failure) {
  LogInfo("job.end", {{"run", run.run_id}, {"job", job.plan.job_id}, {"state", JobStateName(state)}});
  indexes_.Forget({run.run_id, job.plan.job_id});
  if (!failure.message.empty()) LogError("job.failure", {{"job", job.plan.job_id}, {"why", failure.message}});
  parts_.ledger.Record(JobEnded{run.run_id, job.plan.job_id, state, std::move(failure), WallMs(parts_.clock)});
}

void RunDesk::WritePhaseTable(const Run& run) {
  std::uint64_t& revision = table_revisions_[run.run_id];
  if (revision == run.phase_revision || !disk_failure_.ok()) return;
  revision = run.phase_revision;
  std::string text = PhaseTableText(run, parts_.ledger.SpecOf(run)->seed());
  std::string& written = tables_[run.run_id];
  if (text == written) return;
  written = text;
  parts_.ledger.AfterSave([this, run_id = run.run_id, run_dir = run.run_dir, text = std::move(text)] {
    parts_.files.Post([this, run_id, run_dir, text] {
      const Status status = parts_.run_files.WritePhaseTable(run_dir, text, parts_.fence);
      if (!status.ok()) parts_.come_back([this, run_id, status] { HandleTableNotWritten(run_id, status); });
    });
  });
}

/// A full disk costs the run nothing yet: the table is written with each change, and before the report.
void RunDesk::HandleTableNotWritten(const std::string& run_id, const Status& status) {
  LogError("phases.not_written", {{"run", run_id}, {"error", status.message()}});
  const Run* run = parts_.ledger.book().FindRun(run_id);
  if (run != nullptr && DiskFailed(status) && run->state == RunState::kRunning) FailBeforeNextJob(*run, status);
}

void RunDesk::Finish(const Run& run) {
  if (!disk_failure_.ok() || !finishing_.insert(run.run_id).second) return;
  parts_.ledger.AfterSave([this, run_id = run.run_id, run_dir = run.run_dir, table = tables_[run.run_id]] {
    parts_.files.Post([this, run_id, run_dir, table] {
      // Once more: the report reads it, and it may have found no room before.
      Status report = parts_.run_files.WritePhaseTable(run_dir, table, parts_.fence);
      if (report.ok()) report = parts_.run_files.WriteReport(run_dir, parts_.fence);
      parts_.come_back([this, run_id, report] { HandleFinished(run_id, report); });
    });
  });
}

void RunDesk::HandleFinished(const std::string& run_id, const Status& report) {
  finishing_.erase(run_id);
  const Run* run = parts_.ledger.book().FindRun(run_id);
  if (run == nullptr) return;
  NoteDisk(*run, report);
  auto outcome = Outcome(*run);
  if (run->state != RunState::kRunning || !outcome) return;
  if (!report.ok()) {
    LogError("report.failed", {{"run", run_id}, {"error", report.message()}});
    if (outcome->state == RunState::kSucceeded) {
      const std::string advice = ". What to do: mend what is named, then `ferment report " + run->run_dir + "`.";
      *outcome = {
          RunState::kFailed,
          {"every phase succeeded, but the report could not be written: " + std::string(report.message()) + advice,
           ProcessExitCode(report)}};
    }
  }
  LogInfo("run.end", {{"run", run_id}, {"state", RunStateName(outcome->state)}, {"why", outcome->failure.message}});
  parts_.ledger.Record(RunEnded{run_id, outcome->state, outcome->failure, WallMs(parts_.clock)});
  parts_.ledger.AfterSave(
      [this, run_dir = run->run_dir] { parts_.files.Post([this, run_dir] { parts_.run_files.LeaveRun(run_dir); }); });
}

}  // namespace ferment::coordinator
