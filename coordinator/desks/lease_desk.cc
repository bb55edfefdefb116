// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/lease_desk.h"

#include <algorithm>
#include <string_view>

#include "common/base/logging.h"
#include "coordinator/core/lease_policy.h"

namespace ferment::coordinator {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{300};
constexpr std::uint32_t kMaxLeasesACall = 128;

std::string JobName(const std::string& run_id, const std::string& job_id) { return run_id + "/" + job_id; }

}  // namespace

void LeaseDesk::GiveFullLeaseTimes() {
  held_.clear();
  job_progress_.clear();
  next_look_ = MonotonicTime::max();
  for (const LeaseKey& key : ledger_.book().AllLeases()) Hold(key);
}

LeaseDesk::Held& LeaseDesk::Hold(const LeaseKey& key) {
  const Job& job = *ledger_.book().FindJob(key.run_id, key.job_id);
  // Shards are mostly leased in their order, so that a new lease is the last one.
  Held& held = held_.try_emplace(held_.end(), key)->second;
  held.lease_time = std::chrono::milliseconds(job.work.lease_ms);
  held.deadline = clock_.Now() + held.lease_time;
  held.labeler_id = job.shards[key.shard].labeler_id;
  next_look_ = std::min(next_look_, held.deadline);
  return held;
}

void LeaseDesk::Drop(const LeaseKey& key) {
  const auto held = held_.find(key);
  if (held == held_.end()) return;
  NoteProgress(key, held->second, 0);
  held_.erase(held);
}

void LeaseDesk::NoteProgress(const LeaseKey& key, Held& held, std::uint64_t records_done) {
  const std::uint64_t change = records_done - held.records_done;  // modulo 2^64, as the sums are
  job_progress_[JobName(key.run_id, key.job_id)] += change;
  labelers_.NoteProgress(held.labeler_id, change);
  held.records_done = records_done;
}

Result<LeaseAnswer> LeaseDesk::Lease(const LeaseRequest& request) {
  const Labeler* labeler = ledger_.book().FindLabeler(request.labeler_id);
  if (labeler == nullptr) {
    return Fail(NotFoundError("no such labeler; register first: labeler=" + request.labeler_id));
  }
  labelers_.Hear(labeler->labeler_id);
  LeaseAnswer answer;
  if (request.call != 0) {
    const std::uint64_t last = labelers_.NoteCall(*labeler, request.call);
    if (request.call == labeler->last_call) return GrantAgain(*labeler);
    if (request.call < last) {
      answer.retry_after = kRetryAfter;
      return answer;
    }
  }
  const Surroundings around = Around();
  if (const auto left = labelers_.CoolDownLeft(*labeler); left > std::chrono::milliseconds(0)) {
    answer.idle = ChooseShard(ledger_.book(), *labeler, around).kind == LeaseChoice::Kind::kIdle;
    answer.retry_after = left;
    return answer;
  }
  const std::uint32_t wanted = std::clamp<std::uint32_t>(request.max_leases, 1, kMaxLeasesACall);
  while (answer.leases.size() < wanted) {
    const LeaseChoice choice = ChooseShard(ledger_.book(), *labeler, around);
    if (choice.kind == LeaseChoice::Kind::kGrant) {
      ledger_.Record(ShardLeased{choice.key, labeler->labeler_id, request.call, choice.alone});
      Describe(choice.key, Hold(choice.key), answer);
      metrics_.lease_granted.Increment();
      continue;
    }
    if (!answer.leases.empty()) break;
    if (choice.kind == LeaseChoice::Kind::kWrongMachine) {
      return Fail(FailedPreconditionError(
          "this labeler's arithmetic is of another class than the label config: labeler=" + labeler->name +
          " instruction_set=" + labeler->instruction_set + " wanted=" + choice.instruction_set +
          "; run labelers on machines of one class"));
    }
    answer.idle = choice.kind == LeaseChoice::Kind::kIdle;
    answer.retry_after = kRetryAfter;
    break;
  }
  return answer;
}

LeaseAnswer LeaseDesk::GrantAgain(const Labeler& labeler) {
  LeaseAnswer answer;
  for (const LeaseKey& key : labeler.last_leases) {
    if (!FindLeased(key)) continue;
    Describe(key, Hold(key), answer);
  }
  if (answer.leases.empty()) answer.retry_after = kRetryAfter;
  return answer;
}

std::vector<Present> LeaseDesk::LabelersAlive() const {
  std::map<std::string_view, bool> at_work;
  for (const auto& [key, held] : held_) {
    const Job* job = ledger_.book().FindJob(key.run_id, key.job_id);
    at_work[held.labeler_id] |= job != nullptr && !job->alone.contains(key.shard);
  }
  std::vector<Present> alive;
  for (const auto& [labeler_id, labeler] : ledger_.book().labelers()) {
    const auto holder = at_work.find(labeler_id);
    if (holder == at_work.end() && !labelers_.HeardLately(labeler)) continue;
    alive.push_back({&labeler, holder != at_work.end() && holder->second,
                     labelers_.CoolDownLeft(labeler) > std::chrono::milliseconds(0)});
  }
  return alive;
}

Surroundings LeaseDesk::Around() const {
  return {[this] { return LabelersAlive(); },
          [this](std::string_view labeler_id) { return labelers_.MayReturn(labeler_id); }};
}

void LeaseDesk::Describe(const LeaseKey& key, const Held& held, LeaseAnswer& answer) const {
  const Run& run = *ledger_.book().FindRun(key.run_id);
  const Job& job = *run.FindJob(key.job_id);
  // The shards of a job follow each other.
  const bool same = !answer.leases.empty() && answer.leases.back().key.run_id == key.run_id &&
                    answer.leases.back().key.job_id == key.job_id;
  const auto work = same ? answer.leases.back().job
                         : std::make_shared<const GrantedWork>(
                               GrantedWork{job.plan.phase, run.run_dir, ledger_.SpecOf(run), job.work});
  answer.leases.push_back({key, held.lease_time, job.shards[key.shard].plan, work});
}

Result<LeaseDesk::Found> LeaseDesk::Find(const LeaseKey& key) const {
  Found found;
  found.run = ledger_.book().FindRun(key.run_id);
  found.job = found.run == nullptr ? nullptr : found.run->FindJob(key.job_id);
  if (found.job == nullptr || key.shard >= found.job->shards.size()) {
    return Fail(AbortedError("no such shard; drop the work: " + NameOf(key)));
  }
  found.shard = &found.job->shards[key.shard];
  return found;
}

Result<LeaseDesk::Found> LeaseDesk::FindLeased(const LeaseKey& key) const {
  FERMENT_ASSIGN_OR_RETURN(const Found found, Find(key));
  // A stopped teacher's job ends as soon as its run is looked at, which after a restart waits for the run's folder.
  const bool stopped = !found.job->tripped.empty();
  if (stopped || found.job->state != JobState::kRunning || found.shard->state != ShardState::kLeased ||
      found.shard->epoch != key.epoch) {
    const std::string why = stopped ? "the teacher was stopped" : "the lease is lost";
    return Fail(
        AbortedError(why + "; drop the work: " + NameOf(key) + " present_epoch=" + std::to_string(found.shard->epoch)));
  }
  return found;
}

Result<std::chrono::milliseconds> LeaseDesk::Renew(const LeaseKey& key, std::uint64_t records_done) {
  FERMENT_ASSIGN_OR_RETURN(const Found found, FindLeased(key));
  Held& held = Hold(key);
  NoteProgress(key, held, records_done);
  labelers_.Hear(held.labeler_id);
  Observe(found, held.labeler_id);
  return held.lease_time;
}

std::string LeaseDesk::HolderOf(const LeaseKey& key) const {
  const auto found = FindLeased(key);
  return found ? found->shard->labeler_id : std::string();
}

Result<bool> LeaseDesk::AnswerCommitted(const Found& found, const ShardResult& result) {
  const std::vector<ResultFile> committed = found.job->FilesOf(*found.shard);
  if (committed == result.files) {
    metrics_.commit_duplicate.Increment();
    return true;
  }
  metrics_.commit_conflict.Increment();
  LogError("label.conflict", {{"run", result.key.run_id},
                              {"job", result.key.job_id},
                              {"shard", result.key.shard},
                              {"committed", committed.empty() ? "" : committed[0].sha256},
                              {"offered", result.files.empty() ? "" : result.files[0].sha256},
                              {"next", "both files are kept; the committed one counts"}});
  return Fail(
      AbortedError("another result was committed before; equal work must give equal bytes: " + NameOf(result.key)));
}

Result<bool> LeaseDesk::Commit(const ShardResult& result) {
  FERMENT_ASSIGN_OR_RETURN(const Found at, Find(result.key));
  if (at.shard->state == ShardState::kCommitted) return AnswerCommitted(at, result);
  const auto found = FindLeased(result.key);
  if (!found) {
    metrics_.commit_fenced.Increment();
    return Fail(found.error());
  }
  FERMENT_RETURN_IF_ERROR(CheckResult(*found->job, *found->shard, result));
  const double allowed = found->job->work.max_damage * static_cast<double>(result.counts.read);
  if (static_cast<double>(result.counts.quarantined) > allowed) {
    Failure failure{"shard " + std::to_string(result.key.shard) + " is damaged past labeling.max_damage=" +
                        std::to_string(found->job->work.max_damage) + ": " + TextOf(result.counts),
                    exit_code::kBadData};
    ledger_.Record(ShardFailed{result.key, result.request_id, failure, result.counts});
    Drop(result.key);
    return Fail(DataLossError(failure.message));
  }
  ledger_.Record(ShardCommitted{result.key, result.request_id, result.files, result.counts, result.seconds,
                                result.cpu_seconds, result.peak_rss_bytes, result.canaries});
  Drop(result.key);
  labelers_.Hear(at.shard->labeler_id);
  labelers_.Judge(at.shard->labeler_id);
  Observe(at, at.shard->labeler_id);
  metrics_.commit_ok.Increment();
  std::vector<std::string> classes;
  if (at.job->plan.phase == Phase::kLabel) {
    const auto spec = ledger_.SpecOf(*at.run);
    classes.assign(spec->classes().begin(), spec->classes().end());
    metrics_.shard_label_duration.Observe(std::max(0.0, result.seconds));
    metrics_.CountConfidence(result.confidence);
  }
  metrics_.Count(result.counts, result.reasons, classes);
  metrics_.Count(result.canaries);
  if (result.plan_agreement) metrics_.plan_agreement.Set(*result.plan_agreement);
  return false;
}

Status LeaseDesk::Return(const LeaseKey& key) {
  if (const auto found = FindLeased(key); !found) return found.error();
  ledger_.Record(ShardReleased{key, ReleaseReason::kReturned, ""});
  Drop(key);
  return {};
}

Status LeaseDesk::FailShard(const ShardFailure& failure) {
  FERMENT_RETURN_IF_ERROR(CheckRequestId(failure.request_id, failure.key));
  const auto at = Find(failure.key);
  if (!at) return at.error();
  const bool repeated = !failure.request_id.empty() && at->shard->last_request_id == failure.request_id;
  if (repeated && at->shard->state != ShardState::kCommitted) return {};
  const auto found = FindLeased(failure.key);
  if (!found) return found.error();
  const std::string shard = "shard " + std::to_string(failure.key.shard);
  const bool last = failure.permanent || found->shard->failures + 1 >= kShardFailureLimit;
  LogWarning("shard.failed", {{"run", failure.key.run_id},
                              {"job", failure.key.job_id},
                              {"shard", failure.key.shard},
                              {"reason", failure.failure.message},
                              {"next", last ? "the job fails" : "another labeler tries it"}});
  if (last) {
    Failure named = failure.failure;
    named.message = shard + ": " + named.message;
    if (named.exit_code == 0) named.exit_code = exit_code::kBadData;
    ledger_.Record(ShardFailed{failure.key, failure.request_id, named, failure.counts});
  } else {
    ledger_.Record(ShardReleased{failure.key, ReleaseReason::kFailed, failure.request_id});
  }
  Drop(failure.key);
  labelers_.Hear(at->shard->labeler_id);
  labelers_.Judge(at->shard->labeler_id);
  return {};
}

void LeaseDesk::Release(const LeaseKey& key, ReleaseReason reason) {
  const auto held = held_.find(key);
  ledger_.Record(ShardReleased{key, reason, "", held == held_.end() ? 0 : held->second.records_done});
  Drop(key);
  const Job& job = *ledger_.book().FindJob(key.run_id, key.job_id);
  if (!IsSuspect(job, key.shard)) return;
  const std::vector<Death>& deaths = job.deaths.at(key.shard);
  LogWarning("shard.suspect", {{"run", key.run_id},
                               {"job", key.job_id},
                               {"shard", key.shard},
                               {"deaths", deaths.size()},
                               {"alone", CountAlone(deaths)},
                               {"next", "a labeler that holds nothing else tries it, after all others of its run"}});
}

void LeaseDesk::FailDeadly() {
  for (const std::string& run_id : ledger_.book().unfinished()) {
    const Run& run = *ledger_.book().FindRun(run_id);
    if (run.cancel_requested || run.suspended) continue;
    for (const Job& job : run.jobs) {
      if (job.state == JobState::kRunning && job.failed == 0 && job.tripped.empty()) FailDeadlyOf(run, job);
    }
  }
}

void LeaseDesk::FailDeadlyOf(const Run& run, const Job& job) {
  for (const auto& [shard, deaths] : job.deaths) {
    if (CountAlone(deaths) < kDeathLimit) continue;
    const auto may_return = [this](std::string_view labeler_id) { return labelers_.MayReturn(labeler_id); };
    if (!MustFail(job, shard, LabelersAlive(), may_return)) continue;
    const Failure failure{DeathsText(shard, job.shards[shard].plan, deaths), exit_code::kBadData};
    const LeaseKey key{run.run_id, job.plan.job_id, shard, job.shards[shard].epoch};
    LogError("shard.failed", {{"run", key.run_id},
                              {"job", key.job_id},
                              {"shard", key.shard},
                              {"reason", failure.message},
                              {"next", "the job fails"}});
    ledger_.Record(ShardCondemned{key, failure});
    return;
  }
}

void LeaseDesk::EndLeasesOf(const std::string& labeler_id) {
  for (const LeaseKey& key : ledger_.book().LeasesOf(labeler_id)) {
    Release(key, ReleaseReason::kReplaced);
  }
  labelers_.Judge(labeler_id);
}

void LeaseDesk::ExpireLeases() {
  const MonotonicTime now = clock_.Now();
  if (now < next_look_) return;
  next_look_ = MonotonicTime::max();
  std::vector<LeaseKey> over;
  for (const auto& [key, held] : held_) {
    if (held.deadline <= now || !FindLeased(key)) {
      over.push_back(key);
    } else {
      next_look_ = std::min(next_look_, held.deadline);
    }
  }
  for (const LeaseKey& key : over) {
    const auto found = FindLeased(key);
    if (!found) {
      Drop(key);
      continue;
    }
    LogWarning("lease.expired", {{"run", key.run_id},
                                 {"job", key.job_id},
                                 {"shard", key.shard},
                                 {"labeler", found->shard->labeler_id},
                                 {"next", "the shard goes to another labeler"}});
    Release(key, ReleaseReason::kExpired);
    metrics_.lease_expired.Increment();
    labelers_.Judge(found->shard->labeler_id);
  }
}

void LeaseDesk::Observe(const Found& found, const std::string& labeler_id) {
  ++changes_;
  const std::string job = JobName(found.run->run_id, found.job->plan.job_id);
  job_rates_[job].Observe(clock_.Now(), found.job->records.read + job_progress_[job]);
  labelers_.Observe(labeler_id);
}

std::uint64_t LeaseDesk::RecordsInProgress(const Run& run, const Job& job) const {
  const auto found = job_progress_.find(JobName(run.run_id, job.plan.job_id));
  return found == job_progress_.end() ? 0 : found->second;
}

void LeaseDesk::Forget(const Run& run) {
  // The sums that go are of these, should one still be held.
  std::vector<LeaseKey> still_held;
  for (const auto& [key, held] : held_) {
    if (key.run_id == run.run_id) still_held.push_back(key);
  }
  for (const LeaseKey& key : still_held) Drop(key);
  for (const Job& job : run.jobs) {
    job_progress_.erase(JobName(run.run_id, job.plan.job_id));
    job_rates_.erase(JobName(run.run_id, job.plan.job_id));
  }
}

double LeaseDesk::RecordRate(const std::string& run_id, const std::string& job_id) const {
  const auto found = job_rates_.find(JobName(run_id, job_id));
  return found == job_rates_.end() ? 0 : found->second.PerSecond(clock_.Now());
}

}  // namespace ferment::coordinator
