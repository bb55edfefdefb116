// SPDX-License-Identifier: Apache-2.0
#include "coordinator/lease_desk.h"

#include <algorithm>

#include "common/base/logging.h"
#include "coordinator/core/lease_policy.h"

namespace ferment::coordinator {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{300};
constexpr std::uint32_t kMaxLeasesACall = 16;

std::string Name(const LeaseKey& key) {
  return "run=" + key.run_id + " job=" + key.job_id + " shard=" + std::to_string(key.shard) +
         " epoch=" + std::to_string(key.epoch);
}

std::string JobName(const std::string& run_id, const std::string& job_id) { return run_id + "/" + job_id; }

std::string CountsText(const RecordCounts& counts) {
  return "read=" + std::to_string(counts.read) + " labelled=" + std::to_string(counts.labelled) +
         " abstained=" + std::to_string(counts.abstained) + " quarantined=" + std::to_string(counts.quarantined);
}

}  // namespace

void LeaseDesk::GiveFullLeaseTimes() {
  held_.clear();
  for (const LeaseKey& key : ledger_.book().AllLeases()) {
    const std::chrono::milliseconds time(ledger_.book().FindJob(key.run_id, key.job_id)->work.lease_ms);
    held_[key] = {clock_.Now() + time, time, 0};
  }
}

Result<std::string> LeaseDesk::Register(const LabelerIdentity& identity) {
  if (identity.name.empty() || identity.incarnation.empty()) {
    return Fail(InvalidArgumentError("a labeler needs a name and an incarnation"));
  }
  const Labeler* former = ledger_.book().FindLabelerByName(identity.name);
  if (former != nullptr && former->incarnation == identity.incarnation) return former->labeler_id;
  std::string labeler_id = identity.name + "/" + identity.incarnation;
  if (former != nullptr && ledger_.book().FindLabeler(labeler_id) != nullptr) {
    return Fail(AbortedError("a newer process of this labeler's name has registered; leave, or give this one another "
                             "name: labeler=" +
                             labeler_id + " newer=" + former->incarnation)
                    .WithExitCode(exit_code::kFenced));
  }
  if (former != nullptr) {
    for (const LeaseKey& key : ledger_.book().LeasesOf(former->labeler_id)) {
      ledger_.Record(ShardReleased{key, ReleaseReason::kReplaced, ""});
      held_.erase(key);
    }
  }
  ledger_.Record(LabelerRegistered{labeler_id, identity.name, identity.incarnation, identity.instruction_set});
  LogInfo("labeler.registered", {{"labeler", identity.name}, {"instruction_set", identity.instruction_set}});
  return labeler_id;
}

Result<LeaseAnswer> LeaseDesk::Lease(const std::string& labeler_id, std::uint32_t max_leases) {
  const Labeler* labeler = ledger_.book().FindLabeler(labeler_id);
  if (labeler == nullptr || labeler->replaced) {
    return Fail(NotFoundError("no such labeler; register first: labeler=" + labeler_id));
  }
  LeaseAnswer answer;
  const std::uint32_t wanted = std::clamp<std::uint32_t>(max_leases, 1, kMaxLeasesACall);
  while (answer.leases.size() < wanted) {
    const LeaseChoice choice = ChooseShard(ledger_.book(), *labeler);
    if (choice.kind == LeaseChoice::Kind::kGrant) {
      answer.leases.push_back(Grant(choice.key, *labeler));
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

GrantedLease LeaseDesk::Grant(const LeaseKey& key, const Labeler& labeler) {
  ledger_.Record(ShardLeased{key, labeler.labeler_id});
  const Run& run = *ledger_.book().FindRun(key.run_id);
  const Job& job = *run.FindJob(key.job_id);
  const std::chrono::milliseconds time(job.work.lease_ms);
  held_[key] = {clock_.Now() + time, time, 0};
  metrics_.lease_granted.Increment();
  return {key, time, job.plan.phase, run.run_dir, ledger_.SpecOf(run), job.work, job.shards[key.shard].plan};
}

Result<LeaseDesk::Found> LeaseDesk::Find(const LeaseKey& key) const {
  Found found;
  found.run = ledger_.book().FindRun(key.run_id);
  found.job = found.run == nullptr ? nullptr : found.run->FindJob(key.job_id);
  if (found.job == nullptr || key.shard >= found.job->shards.size()) {
    return Fail(AbortedError("no such shard; drop the work: " + Name(key)));
  }
  found.shard = &found.job->shards[key.shard];
  return found;
}

Result<LeaseDesk::Found> LeaseDesk::FindLeased(const LeaseKey& key) const {
  FERMENT_ASSIGN_OR_RETURN(const Found found, Find(key));
  if (found.job->state != JobState::kRunning || found.shard->state != ShardState::kLeased ||
      found.shard->epoch != key.epoch) {
    const std::string why = found.job->tripped.empty() ? "the lease is lost" : "the teacher was stopped";
    return Fail(
        AbortedError(why + "; drop the work: " + Name(key) + " present_epoch=" + std::to_string(found.shard->epoch)));
  }
  return found;
}

Result<std::chrono::milliseconds> LeaseDesk::Renew(const LeaseKey& key, std::uint64_t records_done) {
  FERMENT_ASSIGN_OR_RETURN(const Found found, FindLeased(key));
  Held& held = held_[key];
  held.lease_time = std::chrono::milliseconds(found.job->work.lease_ms);
  held.deadline = clock_.Now() + held.lease_time;
  held.records_done = records_done;
  Observe(key, found.shard->labeler_id);
  return held.lease_time;
}

Status LeaseDesk::CheckCounts(const Found& found, const ShardResult& result) const {
  const RecordCounts& counts = result.counts;
  if (!counts.Conserved()) {
    return DataLossError("read is not labelled + abstained + quarantined: " + Name(result.key) + " " +
                         CountsText(counts));
  }
  const bool label = found.job->plan.phase == Phase::kLabel;
  if (label && counts.read != found.shard->plan.record_count) {
    return DataLossError("not every record of the shard was read: " + Name(result.key) + " " + CountsText(counts) +
                         " records=" + std::to_string(found.shard->plan.record_count));
  }
  if (result.files.empty()) return DataLossError("a commit without a file: " + Name(result.key));
  if (result.canaries.correct > result.canaries.checked) {
    return DataLossError("more canaries are right than there are: " + Name(result.key) +
                         " correct=" + std::to_string(result.canaries.correct) +
                         " checked=" + std::to_string(result.canaries.checked));
  }
  return {};
}

Result<bool> LeaseDesk::AnswerCommitted(const Shard& shard, const ShardResult& result) {
  if (shard.files == result.files) {
    metrics_.commit_duplicate.Increment();
    return true;
  }
  metrics_.commit_conflict.Increment();
  LogError("label.conflict", {{"run", result.key.run_id},
                              {"job", result.key.job_id},
                              {"shard", result.key.shard},
                              {"committed", shard.files.empty() ? "" : shard.files[0].sha256},
                              {"offered", result.files.empty() ? "" : result.files[0].sha256},
                              {"next", "both files are kept; the committed one counts"}});
  return Fail(
      AbortedError("another result was committed before; equal work must give equal bytes: " + Name(result.key)));
}

Result<bool> LeaseDesk::Commit(const ShardResult& result) {
  FERMENT_ASSIGN_OR_RETURN(const Found at, Find(result.key));
  if (at.shard->state == ShardState::kCommitted) return AnswerCommitted(*at.shard, result);
  const auto found = FindLeased(result.key);
  if (!found) {
    metrics_.commit_fenced.Increment();
    return Fail(found.error());
  }
  FERMENT_RETURN_IF_ERROR(CheckCounts(*found, result));
  const double allowed = found->job->work.max_damage * static_cast<double>(result.counts.read);
  if (static_cast<double>(result.counts.quarantined) > allowed) {
    Failure failure{"shard " + std::to_string(result.key.shard) + " is damaged past labeling.max_damage=" +
                        std::to_string(found->job->work.max_damage) + ": " + CountsText(result.counts),
                    exit_code::kBadData};
    ledger_.Record(ShardFailed{result.key, result.request_id, failure, result.counts});
    held_.erase(result.key);
    return Fail(DataLossError(failure.message));
  }
  ledger_.Record(ShardCommitted{result.key, result.request_id, result.files, result.counts, result.reasons,
                                result.seconds, result.cpu_seconds, result.peak_rss_bytes, result.canaries});
  held_.erase(result.key);
  Observe(result.key, at.shard->labeler_id);
  metrics_.commit_ok.Increment();
  const auto spec = ledger_.SpecOf(*at.run);
  metrics_.Count(result.counts, result.reasons,
                 std::vector<std::string>(spec->classes().begin(), spec->classes().end()));
  metrics_.Count(result.canaries);
  return false;
}

Status LeaseDesk::Return(const LeaseKey& key) {
  FERMENT_RETURN_IF_ERROR(FindLeased(key) ? Status() : FindLeased(key).error());
  ledger_.Record(ShardReleased{key, ReleaseReason::kReturned, ""});
  held_.erase(key);
  return {};
}

Status LeaseDesk::FailShard(const ShardFailure& failure) {
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
  held_.erase(failure.key);
  return {};
}

void LeaseDesk::ExpireLeases() {
  const MonotonicTime now = clock_.Now();
  for (auto it = held_.begin(); it != held_.end();) {
    const LeaseKey key = it->first;
    const auto found = FindLeased(key);
    if (found && it->second.deadline > now) {
      ++it;
      continue;
    }
    it = held_.erase(it);
    if (!found) continue;
    LogWarning("lease.expired", {{"run", key.run_id},
                                 {"job", key.job_id},
                                 {"shard", key.shard},
                                 {"labeler", found->shard->labeler_id},
                                 {"next", "the shard goes to another labeler"}});
    ledger_.Record(ShardReleased{key, ReleaseReason::kExpired, ""});
    metrics_.lease_expired.Increment();
  }
}

void LeaseDesk::Observe(const LeaseKey& key, const std::string& labeler_id) {
  ++changes_;
  const Run& run = *ledger_.book().FindRun(key.run_id);
  const Job& job = *run.FindJob(key.job_id);
  job_rates_[JobName(key.run_id, key.job_id)].Observe(clock_.Now(), job.records.read + RecordsInProgress(run, job));
  std::uint64_t in_progress = 0;
  for (const auto& [held_key, held] : held_) {
    const auto found = FindLeased(held_key);
    if (found && found->shard->labeler_id == labeler_id) in_progress += held.records_done;
  }
  if (const Labeler* labeler = ledger_.book().FindLabeler(labeler_id)) {
    labeler_rates_[labeler_id].Observe(clock_.Now(), labeler->records + in_progress);
  }
}

std::uint64_t LeaseDesk::RecordsInProgress(const Run& run, const Job& job) const {
  std::uint64_t total = 0;
  for (const std::uint64_t index : job.leased) {
    const auto held = held_.find({run.run_id, job.plan.job_id, index, job.shards[index].epoch});
    if (held != held_.end()) total += held->second.records_done;
  }
  return total;
}

double LeaseDesk::RecordRate(const std::string& run_id, const std::string& job_id) const {
  const auto found = job_rates_.find(JobName(run_id, job_id));
  return found == job_rates_.end() ? 0 : found->second.PerSecond(clock_.Now());
}

double LeaseDesk::LabelerRate(const std::string& labeler_id) const {
  const auto found = labeler_rates_.find(labeler_id);
  return found == labeler_rates_.end() ? 0 : found->second.PerSecond(clock_.Now());
}

}  // namespace ferment::coordinator
