// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/trainer_desk.h"

#include <signal.h>

#include "common/base/logging.h"
#include "coordinator/core/pipeline.h"
#include "coordinator/desks/wall_time.h"

namespace ferment::coordinator {
namespace {

/// From the wish to stop until the kill; a checkpoint of the largest model takes a fraction of it.
constexpr std::chrono::seconds kStopPatience{45};
/// Who holds the token, whose end nobody saw, and who is not heard for so long is gone: a report comes every second.
constexpr std::chrono::seconds kHolderSilence{30};
/// A silence that long is worth a word.
constexpr std::chrono::seconds kNotableSilence{3};

bool IsLive(const Job& job) {
  return job.state == JobState::kRunning && !IsShardPhase(job.plan.phase) && job.attempt.number > 0 &&
         !job.attempt.exit_code;
}

std::string NameOf(const std::string& run_id, const std::string& job_id) { return run_id + "/" + job_id; }

Status MustLeave(const std::string& why, const TokenRequest& request) {
  return AbortedError(why + "; leave without writing: run=" + request.run_id + " job=" + request.job_id +
                      " attempt=" + std::to_string(request.attempt) + " run_dir=" + request.run_dir)
      .WithExitCode(exit_code::kFenced);
}

}  // namespace

LaunchKey TrainerDesk::KeyOf(const Run& run, const Job& job) {
  const auto kind =
      parts_.ledger.SpecOf(run)->resources().launcher() == "slurm" ? LauncherKind::kSlurm : LauncherKind::kLocal;
  return {run.run_id, job.plan.job_id, job.attempt.number, run.submitted_wall_ms, kind};
}

void TrainerDesk::Start(const Run& run, const Job& job) {
  if (draining_) return;
  const std::uint32_t attempt = job.attempt.number + 1;
  LogInfo("job.start", {{"run", run.run_id}, {"job", job.plan.job_id}, {"attempt", attempt}});
  live_.erase({run.run_id, job.plan.job_id});
  stopping_.erase({run.run_id, job.plan.job_id});
  parts_.ledger.Record(AttemptIntended{run.run_id, job.plan.job_id, attempt, WallMs(parts_.clock)});
  Launch(run, job);
}

void TrainerDesk::Launch(const Run& run, const Job& job) {
  const LaunchKey key = KeyOf(run, job);
  launching_.insert({key.run_id, key.job_id});
  LaunchRequest request = parts_.plan_launch(*parts_.ledger.SpecOf(run), run, job);
  request.key = key;
  parts_.ledger.AfterSave([this, request = std::move(request)] {
    parts_.launches(request.key.launcher).Post([this, request] {
      const Status status = parts_.launcher.Launch(request);
      parts_.come_back([this, key = request.key, status] { HandleLaunched(key, status); });
    });
  });
}

void TrainerDesk::HandleLaunched(const LaunchKey& key, const Status& status) {
  launching_.erase({key.run_id, key.job_id});
  if (LiveJob(key) == nullptr) return;
  if (status.ok()) {
    parts_.ledger.Record(AttemptLaunched{key.run_id, key.job_id, key.attempt});
    return;
  }
  const int code = ProcessExitCode(status);
  LogError("job.not_launched", {{"run", key.run_id}, {"job", key.job_id}, {"error", status.message()}});
  // An earlier start of this attempt, which left no trace, has taken the token: PollAll sees to it.
  if (LiveJob(key)->attempt.token != 0) return;
  parts_.ledger.Record(JobFailureReported{key.run_id, key.job_id, key.attempt, {std::string(status.message()), code}});
  RecordExit(key, {LaunchState::Kind::kExited, code});
}

void TrainerDesk::PollAll() {
  ForEachLive([this](const Run& run, const Job& job) {
    const JobKey name{run.run_id, job.plan.job_id};
    if (const auto stop = stopping_.find(name);
        stop != stopping_.end() && !stop->second.killed && parts_.clock.Now() >= stop->second.kill_at) {
      stop->second.killed = true;
      LogWarning("job.kill", {{"run", run.run_id}, {"job", job.plan.job_id}, {"why", "it did not leave when asked"}});
      Signal(run, job, SIGKILL);
    }
    if (launching_.contains(name) || !polling_.insert(name).second) return;
    const LaunchKey key = KeyOf(run, job);
    parts_.launches(key.launcher).Post([this, key, run_dir = run.run_dir] {
      const LaunchState state = parts_.launcher.Poll(key, run_dir);
      parts_.come_back([this, key, state] { HandlePolled(key, state); });
    });
  });
}

void TrainerDesk::HandlePolled(const LaunchKey& key, const LaunchState& state) {
  polling_.erase({key.run_id, key.job_id});
  const Job* job = LiveJob(key);
  if (job == nullptr) return;
  switch (state.kind) {
    case LaunchState::Kind::kRunning:
      if (!job->attempt.launched) parts_.ledger.Record(AttemptLaunched{key.run_id, key.job_id, key.attempt});
      if (std::exchange(waits_[{key.run_id, key.job_id}], state.wait) != state.wait) ++changes_;
      return;
    case LaunchState::Kind::kExited:
      if (state.exit_code != exit_code::kFenced || job->attempt.token == 0) return RecordExit(key, state);
      break;
    case LaunchState::Kind::kUnknown:
      break;
  }
  const Run& run = *parts_.ledger.book().FindRun(key.run_id);
  const bool never_ran = !job->attempt.launched && job->attempt.token == 0;
  if (never_ran && !draining_ && MayGoOn(run, *job)) {
    Launch(run, *job);
    return;
  }
  const bool gone = job->attempt.token != 0 && state.ended_token == job->attempt.token;
  if (!gone && HolderMayLive(key, *job)) return;
  // It ended while nobody watched, or as the one of two starts that came second: the holder's last word tells how.
  int code = state.kind == LaunchState::Kind::kExited ? state.exit_code : exit_code::kKilled;
  if (job->attempt.completed) {
    code = exit_code::kOk;
  } else if (job->attempt.reported) {
    code = job->attempt.reported->exit_code;
  }
  RecordExit(key, {LaunchState::Kind::kExited, code});
}

bool TrainerDesk::HolderMayLive(const LaunchKey& key, const Job& job) {
  if (job.attempt.token == 0 || job.attempt.completed || job.attempt.reported) return false;
  const MonotonicTime now = parts_.clock.Now();
  const auto [live, restarted] = live_.try_emplace({key.run_id, key.job_id});
  if (restarted) live->second.heard = now;
  live->second.unseen = true;
  ++changes_;
  return now - live->second.heard < kHolderSilence;
}

void TrainerDesk::RecordExit(const LaunchKey& key, const LaunchState& end) {
  const JobKey name{key.run_id, key.job_id};
  // It may have left at its own question for the token, before anybody told it to.
  const Run& run = *parts_.ledger.book().FindRun(key.run_id);
  const bool stopped = end.asked || stopping_.contains(name) || !MayGoOn(run, *run.FindJob(key.job_id));
  LogInfo("job.exit", {{"run", key.run_id},
                       {"job", key.job_id},
                       {"attempt", key.attempt},
                       {"exit_code", end.exit_code},
                       {"on_request", stopped}});
  parts_.ledger.Record(AttemptExited{key.run_id, key.job_id, key.attempt, end.exit_code, stopped});
  stopping_.erase(name);
  waits_.erase(name);
  parts_.metrics.End(NameOf(key.run_id, key.job_id));
}

void TrainerDesk::Stop(const Run& run, const Job& job) {
  const JobKey name{run.run_id, job.plan.job_id};
  if (!IsLive(job) || stopping_.contains(name)) return;
  stopping_[name] = {parts_.clock.Now() + kStopPatience, false};
  Signal(run, job, SIGUSR2);
}

void TrainerDesk::Drain() {
  draining_ = true;
  ForEachLive([this](const Run& run, const Job& job) { Stop(run, job); });
}

void TrainerDesk::Forget(const Run& run) {
  for (const Job& job : run.jobs) {
    live_.erase({run.run_id, job.plan.job_id});
    parts_.metrics.Forget(NameOf(run.run_id, job.plan.job_id));
  }
}

bool TrainerDesk::AnyLive() const {
  bool any = false;
  ForEachLive([&any](const Run&, const Job&) { any = true; });
  return any;
}

void TrainerDesk::Signal(const Run& run, const Job& job, int signal) {
  const LaunchKey key = KeyOf(run, job);
  parts_.launches(key.launcher).Post([this, key, run_dir = run.run_dir, signal] {
    const Status status = parts_.launcher.Signal(key, run_dir, signal);
    if (!status.ok()) LogInfo("job.signal", {{"job", key.job_id}, {"signal", signal}, {"error", status.message()}});
  });
}

Result<std::uint64_t> TrainerDesk::TakeToken(const TokenRequest& request) {
  const Job* job = LiveJob({request.run_id, request.job_id, request.attempt});
  if (job == nullptr) return Fail(MustLeave("this attempt is over", request));
  const Run& run = *parts_.ledger.book().FindRun(request.run_id);
  if (run.run_dir != request.run_dir) return Fail(MustLeave("its folder is " + run.run_dir, request));
  if (job->attempt.token != 0) {
    if (job->attempt.incarnation == request.incarnation) return job->attempt.token;
    return Fail(MustLeave("another process holds the run token", request));
  }
  // The signal that tells it to leave may come after its first steps, or to nobody.
  if (draining_ || !MayGoOn(run, *job)) return Fail(MustLeave("this job is to stop", request));
  const std::uint64_t token = job->last_token + 1;
  parts_.ledger.Record(TokenTaken{request.run_id, request.job_id, request.attempt, token, request.incarnation,
                                  request.host, request.pid});
  live_[{request.run_id, request.job_id}].heard = parts_.clock.Now();
  parts_.metrics.Begin(NameOf(request.run_id, request.job_id), request.attempt);
  return token;
}

Result<const Job*> TrainerDesk::HolderOf(const TokenKey& key) const {
  const Job* job = parts_.ledger.book().FindJob(key.run_id, key.job_id);
  if (job == nullptr || job->attempt.token == 0 || job->attempt.token != key.token) {
    return Fail(AbortedError("not the job's token: run=" + key.run_id + " job=" + key.job_id +
                             " token=" + std::to_string(key.token))
                    .WithExitCode(exit_code::kFenced));
  }
  return job;
}

Result<bool> TrainerDesk::Report(const TokenKey& key, TrainerProgress progress) {
  FERMENT_ASSIGN_OR_RETURN(const Job* job, HolderOf(key));
  if (HasEnded(job->state) || job->attempt.exit_code) return true;
  Live& live = live_[{key.run_id, key.job_id}];
  live.heard = parts_.clock.Now();
  live.unseen = false;
  live.samples.Observe(parts_.clock.Now(), progress.usage.samples);
  const std::string name = NameOf(key.run_id, key.job_id);
  parts_.metrics.Report(name, job->plan.phase, progress.usage.samples, progress.metrics,
                        static_cast<double>(WallMs(parts_.clock)) / 1000);
  parts_.metrics.Count(name, job->plan.phase, progress.distributions);
  ShowRanks(name, progress);
  live.progress = std::move(progress);
  ++changes_;
  return draining_ || stopping_.contains({key.run_id, key.job_id});
}

void TrainerDesk::ShowRanks(const std::string& job, const TrainerProgress& progress) {
  std::vector<double> idle_seconds = progress.rank_idle_seconds;
  // A rank that nobody watches has just made a step.
  if (idle_seconds.empty()) idle_seconds = {0};
  // After the last step ranks evaluate and write for as long as that takes.
  if (progress.step >= progress.total_steps) idle_seconds.clear();
  parts_.metrics.HearRanks(job, idle_seconds, static_cast<double>(WallMs(parts_.clock)) / 1000);
}

Status TrainerDesk::Complete(const TokenKey& key, const TrainerResult& result) {
  const auto job = HolderOf(key);
  if (!job) return job.error();
  if ((*job)->attempt.completed) return {};
  if (HasEnded((*job)->state)) return AbortedError("the job has ended: run=" + key.run_id + " job=" + key.job_id);
  parts_.ledger.Record(
      JobCompleted{key.run_id, key.job_id, (*job)->attempt.number, result.usage, result.models, result.metrics});
  parts_.metrics.Count(NameOf(key.run_id, key.job_id), (*job)->plan.phase, result.distributions);
  parts_.metrics.Complete(NameOf(key.run_id, key.job_id), (*job)->plan.phase, result.usage.samples, result.metrics,
                          static_cast<double>(WallMs(parts_.clock)) / 1000);
  return {};
}

Status TrainerDesk::FailJob(const TokenKey& key, const Failure& failure) {
  const auto job = HolderOf(key);
  if (!job) return job.error();
  if ((*job)->attempt.reported || HasEnded((*job)->state)) return {};
  parts_.ledger.Record(JobFailureReported{key.run_id, key.job_id, (*job)->attempt.number, failure});
  return {};
}

const TrainerProgress* TrainerDesk::ProgressOf(const std::string& run_id, const std::string& job_id) const {
  const auto found = live_.find({run_id, job_id});
  return found == live_.end() ? nullptr : &found->second.progress;
}

double TrainerDesk::SampleRate(const std::string& run_id, const std::string& job_id) const {
  const auto found = live_.find({run_id, job_id});
  return found == live_.end() ? 0 : found->second.samples.PerSecond(parts_.clock.Now());
}

std::string TrainerDesk::WaitOf(const std::string& run_id, const std::string& job_id) const {
  if (const auto wait = waits_.find({run_id, job_id}); wait != waits_.end() && !wait->second.empty())
    return wait->second;
  const auto found = live_.find({run_id, job_id});
  if (found == live_.end() || !found->second.unseen) return "";
  const auto silent = parts_.clock.Now() - found->second.heard;
  if (silent < kNotableSilence || silent >= kHolderSilence) return "";
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(kHolderSilence - silent).count();
  return "its trainer left no word; unless it speaks, another starts in " + std::to_string(left + 1) + " s";
}

const Job* TrainerDesk::LiveJob(const LaunchKey& key) const {
  const Job* job = parts_.ledger.book().FindJob(key.run_id, key.job_id);
  return job != nullptr && IsLive(*job) && job->attempt.number == key.attempt ? job : nullptr;
}

void TrainerDesk::ForEachLive(const std::function<void(const Run&, const Job&)>& visit) const {
  for (const std::string& run_id : parts_.ledger.book().unfinished()) {
    const Run& run = *parts_.ledger.book().FindRun(run_id);
    for (const Job& job : run.jobs) {
      if (IsLive(job)) visit(run, job);
    }
  }
}

}  // namespace ferment::coordinator
