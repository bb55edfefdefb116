// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/pipeline.h"

#include <algorithm>

#include "common/base/check.h"

namespace ferment::coordinator {
namespace {

std::string IdOf(Phase phase, std::uint32_t round = 0) {
  std::string id(PhaseName(phase));
  if (round > 0) id += "-" + std::to_string(round);
  return id;
}

std::string Advice(const Run& run, const Job& job, const Failure& reason) {
  if (!job.tripped.empty()) {
    return "look at the teacher (" + run.run_dir +
           "/logs/teacher.jsonl) and at the lists of data.fer; give it more steps or more labelled faces, or move "
           "the limit that it is past (labeling.min_accuracy, min_acceptance, max_acceptance, max_drift; 0 = off), "
           "then "
           "start with --fresh: a stopped teacher stays stopped";
  }
  const std::string log = run.run_dir + "/logs/" + job.plan.job_id + ".jsonl";
  switch (reason.exit_code) {
    case exit_code::kUsage:
    case exit_code::kBadSpec:
      return "mend the spec (`ferment config validate` names each fault), then start the run again";
    case exit_code::kBadData:
      if (reason.cause == FailureCause::kPlanRefused) {
        return "start the run again with labeling.plan as named: what is finished stays";
      }
      return "look at the data with `ferment data scan`, mend or replace what is named, then start the same command "
             "again: what is finished stays";
    case exit_code::kMissingService:
      return "install or start what is named (`ferment doctor` checks the machine), then start the same command again";
    case exit_code::kCannotWrite:
    case exit_code::kNotAllowed:
      return "give this user the right to write in " + run.run_dir + ", then start the same command again";
    case exit_code::kUnreadableState:
      return "what is named is damaged or of a newer version: do as it says there, start with --fresh, or use the "
             "version of ferment that wrote it";
    case exit_code::kStorageFailed:
      return "free space on the disk of " + run.run_dir +
             ", then start the same command again: it goes on from the "
             "last checkpoint";
    case exit_code::kFenced:
      return "let the process that has " + run.run_dir +
             " finish, or end it, then start the same command again; or choose another folder with --run-dir";
    default:
      return "read " + log + "; the same command goes on from the last checkpoint";
  }
}

}  // namespace

std::vector<PlannedJob> PlanJobs(const RunFacts& facts) {
  std::vector<PlannedJob> jobs;
  jobs.push_back({IdOf(Phase::kTeacher), Phase::kTeacher, 0, {}, false});
  const std::uint32_t rounds = std::max<std::uint32_t>(facts.rounds, 1);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    jobs.push_back({IdOf(Phase::kLabel, round), Phase::kLabel, round, {TeacherSource(round)}, false});
    jobs.push_back({IdOf(Phase::kCotrain, round), Phase::kCotrain, round, {IdOf(Phase::kLabel, round)}, false});
  }
  const bool skipped = !facts.has_videos;
  jobs.push_back(
      {IdOf(Phase::kFinetune), Phase::kFinetune, 0, {IdOf(Phase::kTeacher), IdOf(Phase::kCotrain, rounds - 1)}, false});
  jobs.push_back({IdOf(Phase::kFeatures), Phase::kFeatures, 0, {IdOf(Phase::kFinetune)}, skipped});
  jobs.push_back({IdOf(Phase::kTemporal), Phase::kTemporal, 0, {IdOf(Phase::kFeatures)}, skipped});
  jobs.push_back(
      {IdOf(Phase::kEvaluate), Phase::kEvaluate, 0, {IdOf(Phase::kFinetune), IdOf(Phase::kTemporal)}, false});
  return jobs;
}

bool MayStart(const Run& run, const Job& job) {
  if (run.state != RunState::kRunning || run.cancel_requested || run.suspended) return false;
  if (job.state != JobState::kPending) return false;
  return std::all_of(job.plan.needs.begin(), job.plan.needs.end(), [&](const std::string& need) {
    const Job* needed = run.FindJob(need);
    return needed != nullptr && (needed->state == JobState::kSucceeded || needed->state == JobState::kSkipped);
  });
}

ExitVerdict JudgeExit(const Run& run, const Job& job) {
  FERMENT_CHECK(job.attempt.exit_code.has_value()) << "job=" << job.plan.job_id;
  const Attempt& attempt = job.attempt;
  const int code = *attempt.exit_code;
  // Its files were synced before it said so: they count, however the process left afterwards.
  if (attempt.completed) return {ExitVerdict::Kind::kSucceeded, {}};
  if (attempt.stopped) return {ExitVerdict::Kind::kStartAgain, {}};

  Failure reason;
  if (attempt.reported) {
    reason = *attempt.reported;
    if (reason.exit_code == 0) reason.exit_code = code == 0 ? exit_code::kBug : code;
  } else if (code == 0) {
    reason = {"the trainer left with code 0 without reporting its result", exit_code::kPeerLost};
  } else if (code == exit_code::kBug) {
    // A trainer that meets a bug says so first; mpirun leaves with 1 when it was sent TERM itself.
    reason = {"the trainer ended with exit code 1 and gave no reason, as mpirun does when it is sent TERM",
              exit_code::kPeerLost};
  } else {
    reason = {"the trainer ended with exit code " + std::to_string(code) + " and gave no reason", code};
  }
  const bool again = MayRetry(reason.exit_code) && job.failed_attempts <= kRetryLimit;
  if (again) return {ExitVerdict::Kind::kStartAgain, reason};
  if (MayRetry(reason.exit_code)) reason.message += " (started " + std::to_string(job.failed_attempts) + " times)";
  return {ExitVerdict::Kind::kFailed, DescribeFailure(run, job, reason)};
}

std::optional<Failure> FirstFailure(const Run& run) {
  for (const Job& job : run.jobs) {
    if (job.state == JobState::kFailed) return job.failure;
    if (job.state == JobState::kRunning && job.failed > 0) return DescribeFailure(run, job, job.failure);
  }
  return std::nullopt;
}

bool IsEnding(const Run& run) {
  if (run.state != RunState::kRunning) return false;
  if (run.cancel_requested || FirstFailure(run)) return true;
  return std::any_of(run.jobs.begin(), run.jobs.end(), [&](const Job& job) {
    if (job.state != JobState::kRunning || !job.attempt.reported) return false;
    Job left = job;
    left.attempt.exit_code = job.attempt.reported->exit_code;
    ++left.failed_attempts;
    return JudgeExit(run, left).kind == ExitVerdict::Kind::kFailed;
  });
}

Failure DescribeFailure(const Run& run, const Job& job, const Failure& reason) {
  std::string message = "phase " + job.plan.job_id + " failed: " + reason.message;
  while (message.back() == '\n' || message.back() == '.') message.pop_back();
  return {message + ". What to do: " + Advice(run, job, reason) + ".", reason.exit_code};
}

std::optional<JobEnd> EndAfterStop(const Run& run, const Job& job) {
  const bool of_a_round = job.plan.phase == Phase::kLabel || job.plan.phase == Phase::kCotrain;
  if (!of_a_round || HasEnded(job.state)) return std::nullopt;
  for (const Job& other : run.jobs) {
    if (other.tripped.empty() || other.plan.round > job.plan.round) continue;
    if (other.plan.round > 0) return JobEnd{JobState::kSkipped, {"left out: " + other.tripped, exit_code::kBadData}};
    if (&other == &job) {
      return JobEnd{JobState::kFailed, DescribeFailure(run, job, {job.tripped, exit_code::kBadData})};
    }
  }
  return std::nullopt;
}

bool MayGoOn(const Run& run, const Job& job) {
  return !run.cancel_requested && !run.suspended && !FirstFailure(run) && !EndAfterStop(run, job);
}

const Job* TeacherInUse(const Run& run) {
  for (auto job = run.jobs.rbegin(); job != run.jobs.rend(); ++job) {
    if (job->plan.phase != Phase::kLabel || !job->tripped.empty()) continue;
    const Job* source = run.FindJob(TeacherSource(job->plan.round));
    const Job* student = run.FindJob(IdOf(Phase::kCotrain, job->plan.round));
    if (source->state == JobState::kSucceeded) return HasEnded(student->state) ? nullptr : &*job;
  }
  return nullptr;
}

std::optional<RunOutcome> Outcome(const Run& run) {
  const bool all = std::all_of(run.jobs.begin(), run.jobs.end(), [](const Job& job) { return HasEnded(job.state); });
  if (!all) return std::nullopt;
  if (const auto failure = FirstFailure(run)) return RunOutcome{RunState::kFailed, *failure};
  const bool cancelled =
      std::any_of(run.jobs.begin(), run.jobs.end(), [](const Job& job) { return job.state == JobState::kCancelled; });
  if (cancelled) return RunOutcome{RunState::kCancelled, {"cancelled on request", exit_code::kTerminated}};
  return RunOutcome{};
}

std::string TeacherSource(std::uint32_t round) {
  return round == 0 ? IdOf(Phase::kTeacher) : IdOf(Phase::kCotrain, round - 1);
}

}  // namespace ferment::coordinator
