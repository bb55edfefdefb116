// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_log_rules.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "coordinator/core/pipeline.h"
#include "tests/simulation/sim_teacher_rules.h"

namespace ferment::simulation {
namespace {

using namespace coordinator;  // NOLINT(google-build-using-namespace): every event by its name

/// A trainer that ends by itself and not well is started again this often.
constexpr std::uint32_t kStartsAgain = 3;

bool MayPass(int exit_code) { return exit_code >= 128 && exit_code != exit_code::kStorageFailed; }

/// Returns: the number that an incarnation of the simulation is. Those of real processes have no order.
std::optional<std::uint64_t> NumberOf(const std::string& incarnation) {
  std::uint64_t number = 0;
  const char* const end = incarnation.data() + incarnation.size();
  const auto parsed = std::from_chars(incarnation.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

}  // namespace

void SimLogRules::Take(std::uint64_t term, std::uint64_t latest_term, std::span<const Event> events) {
  if (term < latest_term || term < term_) {
    history_.Violate(
        "P3", "a fenced coordinator wrote: term=" + std::to_string(term) + " latest=" + std::to_string(latest_term));
  }
  term_ = std::max(term, term_);
  for (auto& [run_id, run] : runs_) {
    for (auto& [job_id, job] : run.jobs) {
      if (!job.tripped) job.indexable = CommittedOf(job);
    }
  }
  for (const Event& event : events) {
    std::visit(
        [this](const auto& one) {
          if (IsOfForgotten(one)) history_.Violate("P3", "something happens to a run that was forgotten");
          if constexpr (requires { On(one); }) {
            On(one);
          } else {
            history_.Violate("P2", "a part of a snapshot was appended to the log");
          }
        },
        event);
  }
}

template <typename One>
bool SimLogRules::IsOfForgotten(const One& event) const {
  const RunFacts* run = nullptr;
  if constexpr (requires { event.run_id; }) run = FindRun(event.run_id);
  if constexpr (requires { event.key.run_id; }) run = FindRun(event.key.run_id);
  return run != nullptr && run->forgotten;
}

const RunFacts* SimLogRules::FindRun(const std::string& run_id) const {
  const auto found = runs_.find(run_id);
  return found == runs_.end() ? nullptr : &found->second;
}

const JobFacts* SimLogRules::FindJob(const std::string& run_id, const std::string& job_id) const {
  const RunFacts* run = FindRun(run_id);
  if (run == nullptr) return nullptr;
  const auto found = run->jobs.find(job_id);
  return found == run->jobs.end() ? nullptr : &found->second;
}

const ShardFacts* SimLogRules::FindShard(const LeaseKey& key) const {
  const JobFacts* job = FindJob(key.run_id, key.job_id);
  return job == nullptr || key.shard >= job->shards.size() ? nullptr : &job->shards[key.shard];
}

std::uint32_t SimLogRules::TimesForgotten(const std::string& labeler_id) const {
  const auto found = times_forgotten_.find(labeler_id);
  return found == times_forgotten_.end() ? 0 : found->second;
}

std::uint64_t SimLogRules::CompletedUnder(const std::string& run_id, const std::string& job_id,
                                          std::uint32_t attempt) const {
  const auto found = completed_.find({run_id, job_id, attempt});
  return found == completed_.end() ? 0 : found->second;
}

bool SimLogRules::AnyForgottenIn(const std::string& run_dir) const {
  return std::ranges::any_of(runs_,
                             [&](const auto& one) { return one.second.forgotten && one.second.run_dir == run_dir; });
}

std::string SimLogRules::RunOfRequest(const std::string& request_id) const {
  const auto found = requests_.find(request_id);
  return found == requests_.end() ? "" : found->second;
}

std::uint32_t SimLogRules::GenerationOfCancel(const std::string& request_id, std::uint32_t otherwise) const {
  const auto found = cancel_generations_.find(request_id);
  return found == cancel_generations_.end() ? otherwise : found->second;
}

std::uint64_t SimLogRules::MostIndexed(const std::string& folder) const {
  for (const auto& [run_id, run] : runs_) {
    // Its folder may be another's by now.
    if (run.forgotten) continue;
    for (const auto& [job_id, job] : run.jobs) {
      if (job.tripped && job.index_folder == folder) return job.indexable;
    }
  }
  return std::numeric_limits<std::uint64_t>::max();
}

void SimLogRules::AskedAnew(const std::string& request_id) {
  if (requests_.contains(request_id)) asked_anew_.insert(request_id);
}

void SimLogRules::OnceOnly(const std::string& request_id, const std::string& run_id, const std::string& what) {
  const auto [known, fresh] = requests_.emplace(request_id, run_id);
  if (fresh) return;
  // Nobody can know any more that it is the same.
  if (runs_[known->second].forgotten && asked_anew_.erase(request_id) > 0) {
    known->second = run_id;
    return;
  }
  history_.Violate("T1.3", "one request " + what + " twice: request=" + request_id + " run=" + run_id);
}

void SimLogRules::NothingAfterCancel(const std::string& run_id, const std::string& what) {
  if (runs_[run_id].cancelled) history_.Violate("P2", "a cancelled run goes on: run=" + run_id + " " + what);
  if (runs_[run_id].suspended) history_.Violate("P2", "a suspended run goes on: run=" + run_id + " " + what);
}

void SimLogRules::On(const RunSubmitted& event) {
  OnceOnly(event.request_id, event.run_id, "submitted");
  if (runs_.contains(event.run_id)) history_.Violate("P2", "two runs have one id: run=" + event.run_id);
  RunFacts& run = runs_[event.run_id];
  run.run_dir = event.run_dir;
  for (const PlannedJob& plan : event.jobs) {
    JobFacts& job = run.jobs[plan.job_id];
    job.label = plan.phase == Phase::kLabel;
    job.shard_job = job.label || plan.phase == Phase::kFeatures;
    job.round = plan.round;
    if (plan.skipped) job.state = JobState::kSkipped;
  }
}

void SimLogRules::On(const RunReopened& event) {
  OnceOnly(event.request_id, event.run_id, "reopened");
  RunFacts& run = runs_[event.run_id];
  if (run.running) history_.Violate("P2", "a running run was reopened: run=" + event.run_id);
  run.running = true;
  run.cancelled = run.cancelled_too_late = run.suspended = false;
  ++run.generation;
  for (auto& [job_id, job] : run.jobs) {
    if (job.state != JobState::kFailed && job.state != JobState::kCancelled) continue;
    job.state = JobState::kPending;
    // What a trainer brought while its job was being cancelled went with the job.
    job.completed = job.started = job.shard_failed = job.failed_for_good = false;
    job.reopened = true;
    job.failed_attempts = 0;
    for (ShardFacts& shard : job.shards) shard.failures = 0;
  }
}

void SimLogRules::On(const RunCancelRequested& event) {
  OnceOnly(event.request_id, event.run_id, "cancelled");
  RunFacts& run = runs_[event.run_id];
  cancel_generations_.emplace(event.request_id, run.generation);
  if (!run.running) return;
  run.cancelled = true;
  run.cancel_request = event.request_id;
  run.cancelled_too_late =
      std::all_of(run.jobs.begin(), run.jobs.end(), [](const auto& one) { return HasEnded(one.second.state); });
}

void SimLogRules::On(const RunUpdated& event) {
  OnceOnly(event.request_id, event.run_id, "updated");
  RunFacts& run = runs_[event.run_id];
  if (!run.running || run.cancelled) history_.Violate("P2", "a run that has ended is updated: run=" + event.run_id);
  run.suspended = event.suspended.value_or(run.suspended);
}

void SimLogRules::On(const RunEnded& event) {
  RunFacts& run = runs_[event.run_id];
  if (!run.running) history_.Violate("P2", "a run ended twice: run=" + event.run_id);
  run.running = false;
  for (const auto& [job_id, job] : run.jobs) {
    if (!HasEnded(job.state)) history_.Violate("P1", "a run ended before its job: job=" + job_id);
    const bool well = job.state == JobState::kSucceeded || job.state == JobState::kSkipped;
    if (event.state == RunState::kSucceeded && !well) {
      history_.Violate("P1", "a run succeeded without its job: job=" + job_id);
    }
  }
  if (event.state == RunState::kSucceeded && run.cancelled && !run.cancelled_too_late) {
    history_.Violate("P2", "a cancelled run succeeded: run=" + event.run_id);
  }
}

void SimLogRules::On(const RunForgotten& event) {
  RunFacts& run = runs_[event.run_id];
  const auto ended =
      std::ranges::count_if(runs_, [](const auto& one) { return !one.second.running && !one.second.forgotten; });
  if (run.running) history_.Violate("P2", "a run that goes on is forgotten: run=" + event.run_id);
  if (static_cast<std::size_t>(ended) <= keep_runs_) {
    history_.Violate("P2", "a run is forgotten before there are too many: run=" + event.run_id);
  }
  run.forgotten = true;
}

void SimLogRules::On(const AttemptIntended& event) {
  NothingAfterCancel(event.run_id, "job=" + event.job_id + " is started");
  JobFacts& job = JobOf(event.run_id, event.job_id);
  const std::string name = event.run_id + "/" + event.job_id + "/" + std::to_string(event.attempt);
  if (event.attempt <= job.attempt || !job.exited) {
    history_.Violate("P5", "an attempt begins before the former has ended: " + name);
  }
  if (job.completed) history_.Violate("P2", "a result that was taken is made again: " + name);
  const std::string stale =
      event.job_id.starts_with("cotrain") ? StaleLabels(runs_[event.run_id], job.round) : std::string();
  if (!stale.empty()) history_.Violate("P10", "a student is to learn and " + stale + ": " + name);
  if (job.failed_attempts > kStartsAgain || job.failed_for_good) {
    history_.Violate(
        "retries", "started again past the limit: " + name + " failed_attempts=" + std::to_string(job.failed_attempts));
  }
  job.attempt = event.attempt;
  job.exited = job.completed = job.token_of_attempt = job.reported_for_good = job.reopened = false;
  job.started = true;
}

void SimLogRules::On(const AttemptLaunched&) {}

void SimLogRules::On(const TokenTaken& event) {
  NothingAfterCancel(event.run_id, "job=" + event.job_id + " is given the token");
  JobFacts& job = JobOf(event.run_id, event.job_id);
  const std::string unfit =
      event.job_id.starts_with("cotrain") ? UnfitTeacher(runs_[event.run_id], job.round) : std::string();
  if (!unfit.empty()) history_.Violate("P16", "a student is given the token and " + unfit + ": run=" + event.run_id);
  if (event.attempt != job.attempt || job.token_of_attempt || job.exited || event.token <= job.token) {
    history_.Violate("P5", "a run token was given out wrongly: " + event.run_id + "/" + event.job_id + "/" +
                               std::to_string(event.attempt) + " token=" + std::to_string(event.token) +
                               " former=" + std::to_string(job.token));
  }
  job.token = event.token;
  job.token_of_attempt = true;
}

void SimLogRules::On(const JobCompleted& event) {
  JobFacts& job = JobOf(event.run_id, event.job_id);
  if (event.attempt != job.attempt || !job.token_of_attempt) {
    history_.Violate("P5", "completed without the token: " + event.run_id + "/" + event.job_id);
  }
  job.completed = true;
  completed_[{event.run_id, event.job_id, event.attempt}] = job.token;
  for (const ModelFile& model : event.models) {
    if (model.role == "teacher") job.published = model.sha256;
  }
}

void SimLogRules::On(const JobFailureReported& event) {
  JobFacts& job = JobOf(event.run_id, event.job_id);
  job.reported_for_good = !MayPass(event.failure.exit_code);
}

void SimLogRules::On(const AttemptExited& event) {
  JobFacts& job = JobOf(event.run_id, event.job_id);
  if (job.exited) history_.Violate("P5", "an attempt exited twice: " + event.run_id + "/" + event.job_id);
  job.exited = true;
  if (event.stopped || job.completed) return;
  ++job.failed_attempts;
  const bool riddle = event.exit_code == exit_code::kOk || event.exit_code == exit_code::kBug;
  job.failed_for_good = job.reported_for_good || (!riddle && !MayPass(event.exit_code));
}

void SimLogRules::On(const ShardsPlanned& event) {
  NothingAfterCancel(event.run_id, "job=" + event.job_id + " is planned");
  JobFacts& job = JobOf(event.run_id, event.job_id);
  job.started = true;
  if (job.label) {
    job.index_folder = runs_[event.run_id].run_dir + "/" + event.work.models.at(0).output_dir;
    job.labelled_by = event.work.models.at(0).digest;
    if (const std::string teacher = TeacherOf(runs_[event.run_id], job.round); job.labelled_by != teacher) {
      history_.Violate("P10", "labels are to be by " + job.labelled_by + ", its round's teacher is " + teacher + ": " +
                                  event.run_id + "/" + event.job_id);
    }
  }
  if (event.shards.empty()) return;
  job.shards.assign(event.shards.size(), {});
  for (std::size_t i = 0; i < event.shards.size(); ++i) job.shards[i].planned_records = event.shards[i].record_count;
}

void SimLogRules::CheckSuccess(const std::string& run_id, const std::string& job_id, const JobFacts& job) {
  if (!job.shard_job) {
    if (!job.completed) history_.Violate("P5", "succeeded without a result: " + run_id + "/" + job_id);
    return;
  }
  for (std::size_t i = 0; i < job.shards.size(); ++i) {
    if (job.shards[i].committed) continue;
    history_.Violate("P1", "a hole in a job that succeeded: " + run_id + "/" + job_id + " shard=" + std::to_string(i));
  }
  if (job.shards.empty()) history_.Violate("P1", "a shard job without shards: " + run_id + "/" + job_id);
}

void SimLogRules::On(const JobEnded& event) {
  JobFacts& job = JobOf(event.run_id, event.job_id);
  if (HasEnded(job.state)) history_.Violate("P2", "a job ended twice: " + event.run_id + "/" + event.job_id);
  job.state = event.state;
  for (ShardFacts& shard : job.shards) {
    if (std::exchange(shard.leased, false)) shard.cut_short = true;
  }
  if (event.state == JobState::kSucceeded) CheckSuccess(event.run_id, event.job_id, job);
  if (event.state == JobState::kSkipped && !MayBeLeftOut(runs_[event.run_id], job)) {
    history_.Violate("P16", "left out, and no later teacher was stopped: " + event.run_id + "/" + event.job_id);
  }
  const bool cause =
      job.shard_failed || job.tripped || job.failed_for_good || job.failed_attempts > kStartsAgain || folders_fail_;
  if (event.state == JobState::kFailed && !cause) {
    history_.Violate(
        "cause", "a job failed without a cause: " + event.run_id + "/" + event.job_id + ": " + event.failure.message);
  }
}

void SimLogRules::On(const LabelerRegistered& event) {
  std::string& holder = labelers_[event.name];
  const auto former = NumberOf(holder);
  const auto incarnation = NumberOf(event.incarnation);
  const bool older = former && incarnation && *incarnation < *former;
  if (older || replaced_.contains(event.labeler_id)) {
    history_.Violate("P12", "an older process of a labeler's name took the newer one's place: " + event.labeler_id);
  }
  if (!holder.empty() && holder != event.incarnation) replaced_.insert(event.name + "/" + holder);
  holder = event.incarnation;
}

void SimLogRules::On(const LabelerReturned&) {}

void SimLogRules::On(const LabelerForgotten& event) {
  ++times_forgotten_[event.labeler_id];
  for (const auto& [run_id, run] : runs_) {
    for (const auto& [job_id, job] : run.jobs) {
      for (const ShardFacts& shard : job.shards) {
        if (!shard.leased || shard.labeler != event.labeler_id) continue;
        history_.Violate("P12", "a labeler that holds a lease is forgotten: " + event.labeler_id + " job=" + job_id);
      }
    }
  }
}

void SimLogRules::On(const ShardLeased& event) {
  NothingAfterCancel(event.key.run_id, "leased " + Name(event.key));
  JobFacts& job = JobOf(event.key.run_id, event.key.job_id);
  if (event.key.shard >= job.shards.size()) {
    history_.Violate("P1", "a shard that was never planned: " + Name(event.key));
    return;
  }
  ShardFacts& shard = job.shards[event.key.shard];
  std::uint64_t& former = epochs_[{event.key.run_id, event.key.job_id}][event.key.shard];
  if (event.key.epoch <= former) {
    history_.Violate("T1.5", "an epoch does not rise: " + Name(event.key) + " former=" + std::to_string(former));
  }
  if (job.tripped) history_.Violate("P16", "leased for a stopped teacher: " + Name(event.key));
  if (shard.leased) history_.Violate("P3", "leased while it is leased: " + Name(event.key));
  if (shard.committed) history_.Violate("P1", "leased after it was committed: " + Name(event.key));
  former = std::max(former, event.key.epoch);
  shard.epoch = event.key.epoch;
  shard.labeler = event.labeler_id;
  shard.leased = true;
  shard.cut_short = false;
}

ShardFacts& SimLogRules::Held(const LeaseKey& key, const std::string& what) {
  JobFacts& job = JobOf(key.run_id, key.job_id);
  if (job.shards.size() <= key.shard) job.shards.resize(key.shard + 1);
  ShardFacts& shard = job.shards[key.shard];
  if (!shard.leased || shard.epoch != key.epoch) {
    history_.Violate("P3", "a fenced labeler " + what + ": " + Name(key) + " present=" + std::to_string(shard.epoch) +
                               (shard.leased ? " leased" : " not leased"));
  }
  return shard;
}

void SimLogRules::On(const ShardReleased& event) {
  ShardFacts& shard = Held(event.key, "released");
  shard.leased = false;
  if (event.reason == ReleaseReason::kFailed) ++shard.failures;
  // A first registration that comes after its process died looks like a newer process (docs/robustness.md, open).
  if (event.reason == ReleaseReason::kReplaced) shard.cut_short = true;
}

void SimLogRules::On(const ShardCommitted& event) {
  if (const ShardFacts* known = FindShard(event.key); known != nullptr && known->committed) {
    history_.Violate("P1", "committed twice: " + Name(event.key));
  }
  ShardFacts& shard = Held(event.key, "committed");
  const bool all = event.counts.read == shard.planned_records;
  if (event.counts.read != event.counts.labelled + event.counts.abstained + event.counts.quarantined || !all) {
    history_.Violate("P7", "records got lost: " + Name(event.key) + " read=" + std::to_string(event.counts.read) +
                               " planned=" + std::to_string(shard.planned_records));
  }
  shard.leased = false;
  shard.committed = true;
  shard.commit_epoch = event.key.epoch;
  shard.files = event.files;
  shard.counts = event.counts;
  shard.canaries = event.canaries;
  if (JobOf(event.key.run_id, event.key.job_id).tripped) {
    history_.Violate("P16", "committed for a stopped teacher: " + Name(event.key));
  }
}

void SimLogRules::On(const ShardFailed& event) {
  Held(event.key, "failed").leased = false;
  JobOf(event.key.run_id, event.key.job_id).shard_failed = true;
}

/// Whether it is to blame is for SimSuspectRules.
void SimLogRules::On(const ShardCondemned& event) {
  const ShardFacts* shard = FindShard(event.key);
  if (shard == nullptr || shard->leased || shard->committed || shard->epoch != event.key.epoch) {
    history_.Violate("P3", "failed for deaths, and not pending since that lease: " + Name(event.key));
  }
  JobOf(event.key.run_id, event.key.job_id).shard_failed = true;
}

void SimLogRules::On(const TeacherTripped& event) {
  JobFacts& job = JobOf(event.run_id, event.job_id);
  const std::string name = event.run_id + "/" + event.job_id;
  if (event.cause == coordinator::TripCause::kOperator) {
    OnceOnly(event.request_id, event.run_id, "rolled back");
    if (job.tripped || job.round == 0) history_.Violate("P16", "there is no teacher before: " + name);
  } else {
    if (job.tripped || HasEnded(job.state)) history_.Violate("P16", "a teacher is stopped twice or too late: " + name);
    if (PlainlyHealthy(job)) history_.Violate("P16", "a healthy teacher is stopped: " + name);
  }
  job.tripped = true;
  for (ShardFacts& shard : job.shards) shard.cut_short |= shard.leased;
}

}  // namespace ferment::simulation
