// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/job_book.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "coordinator/core/suspect.h"

namespace ferment::coordinator {
namespace {

template <typename Map>
auto* Find(Map& map, std::string_view key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

void ReleaseShard(Job& job, std::uint64_t index) {
  job.SetState(index, ShardState::kPending);
  job.leased.erase(index);
  job.alone.erase(index);
  job.Offer(index);
}

void Reopen(Job& job) {
  if (job.state != JobState::kFailed && job.state != JobState::kCancelled) return;
  job.state = JobState::kPending;
  // An attempt of before may still speak; what it brings went with the job.
  const std::uint32_t number = job.attempt.number;
  job.attempt = {};
  job.attempt.number = number;
  job.failed_attempts = 0;
  job.failure = {};
  job.ended_wall_ms = 0;
  job.failed = 0;
  job.deaths.clear();
  job.pending.merge(job.suspects);
  for (std::uint64_t i = 0; i < job.shards.size(); ++i) {
    if (job.shards[i].state != ShardState::kFailed) continue;
    job.SetState(i, ShardState::kPending);
    job.shards[i].failures = 0;
    job.Offer(i);
  }
}

}  // namespace

const ModelFile* JobSummary::FindModel(std::string_view role) const {
  const auto found = std::find_if(models.begin(), models.end(), [&](const ModelFile& m) { return m.role == role; });
  return found == models.end() ? nullptr : &*found;
}

const Job* Run::FindJob(std::string_view job_id) const {
  const auto found = std::find_if(jobs.begin(), jobs.end(), [&](const Job& j) { return j.plan.job_id == job_id; });
  return found == jobs.end() ? nullptr : &*found;
}

const Run* JobBook::FindRun(std::string_view run_id) const { return Find(runs_, run_id); }

const Run* JobBook::FindRunIn(std::string_view run_dir) const {
  for (auto id = run_order_.rbegin(); id != run_order_.rend(); ++id) {
    const Run* run = FindRun(*id);
    if (run->run_dir == run_dir) return run;
  }
  return nullptr;
}

const Run* JobBook::FindSubmission(std::string_view request_id) const {
  const std::string* run_id = Find(submissions_, request_id);
  return run_id == nullptr ? nullptr : FindRun(*run_id);
}

const std::string* JobBook::RunOfChange(std::string_view request_id) const { return Find(changes_, request_id); }

const Job* JobBook::FindJob(std::string_view run_id, std::string_view job_id) const {
  const Run* run = FindRun(run_id);
  return run == nullptr ? nullptr : run->FindJob(job_id);
}

const Labeler* JobBook::FindLabeler(std::string_view labeler_id) const { return Find(labelers_, labeler_id); }

const Labeler* JobBook::FindLabelerByName(std::string_view name) const {
  const std::string* id = Find(labeler_by_name_, name);
  return id == nullptr ? nullptr : FindLabeler(*id);
}

std::vector<LeaseKey> JobBook::AllLeases() const {
  std::vector<LeaseKey> keys;
  for (const std::string& run_id : unfinished_) {
    for (const Job& job : FindRun(run_id)->jobs) {
      if (job.state != JobState::kRunning) continue;
      for (const std::uint64_t i : job.leased) keys.push_back({run_id, job.plan.job_id, i, job.shards[i].epoch});
    }
  }
  return keys;
}

std::vector<LeaseKey> JobBook::LeasesOf(std::string_view labeler_id) const {
  std::vector<LeaseKey> keys = AllLeases();
  std::erase_if(keys, [&](const LeaseKey& key) {
    return FindJob(key.run_id, key.job_id)->shards[key.shard].labeler_id != labeler_id;
  });
  return keys;
}

void JobBook::Apply(const Event& event) {
  std::visit([this](const auto& one) { On(one); }, event);
}

Run& JobBook::RunOf(std::string_view run_id) {
  Run* run = Find(runs_, run_id);
  FERMENT_CHECK(run != nullptr) << "the log speaks of a run that it never started: run=" << run_id;
  ++run->revision;
  ++run->phase_revision;
  return *run;
}

Job& JobBook::JobOf(std::string_view run_id, std::string_view job_id) {
  Run& run = RunOf(run_id);
  const auto found =
      std::find_if(run.jobs.begin(), run.jobs.end(), [&](const Job& j) { return j.plan.job_id == job_id; });
  FERMENT_CHECK(found != run.jobs.end()) << "no such job: run=" << run_id << " job=" << job_id;
  return *found;
}

Job& JobBook::JobInProgress(std::string_view run_id, std::string_view job_id) {
  Job& job = JobOf(run_id, job_id);
  --Find(runs_, run_id)->phase_revision;
  return job;
}

Shard& JobBook::LeasedShard(const LeaseKey& key) {
  Job& job = JobInProgress(key.run_id, key.job_id);
  FERMENT_CHECK(key.shard < job.shards.size()) << "job=" << key.job_id << " shard=" << key.shard;
  Shard& shard = job.shards[key.shard];
  FERMENT_CHECK(shard.state == ShardState::kLeased && shard.epoch == key.epoch)
      << "job=" << key.job_id << " shard=" << key.shard << " epoch=" << key.epoch << " held=" << shard.epoch;
  return shard;
}

void JobBook::On(const RunSubmitted& event) {
  Run run;
  run.run_id = event.run_id;
  run.name = event.name;
  run.run_dir = event.run_dir;
  run.spec = event.spec;
  run.submitted_wall_ms = event.wall_ms;
  run.revision = 1;
  for (const PlannedJob& plan : event.jobs) {
    Job& job = run.jobs.emplace_back();
    job.plan = plan;
    if (plan.skipped) job.state = JobState::kSkipped;
  }
  const bool fresh = runs_.emplace(event.run_id, std::move(run)).second;
  FERMENT_CHECK(fresh) << "a run is submitted twice: run=" << event.run_id;
  run_order_.push_back(event.run_id);
  unfinished_.push_back(event.run_id);
  if (!event.request_id.empty()) submissions_[event.request_id] = event.run_id;
}

void JobBook::On(const RunReopened& event) {
  Run& run = RunOf(event.run_id);
  FERMENT_CHECK(run.state == RunState::kFailed || run.state == RunState::kCancelled) << "run=" << event.run_id;
  run.state = RunState::kRunning;
  Resume(event.run_id);
  run.cancel_requested = false;
  run.suspended = false;
  run.failure = {};
  run.ended_wall_ms = 0;
  for (Job& job : run.jobs) Reopen(job);
  if (!event.request_id.empty()) submissions_[event.request_id] = event.run_id;
}

void JobBook::Resume(const std::string& run_id) {
  // Both are in order of submission.
  auto place = unfinished_.begin();
  for (const std::string& one : run_order_) {
    if (one == run_id) break;
    if (place != unfinished_.end() && *place == one) ++place;
  }
  unfinished_.insert(place, run_id);
}

void JobBook::On(const RunCancelRequested& event) {
  Run& run = RunOf(event.run_id);
  if (run.state == RunState::kRunning) run.cancel_requested = true;
  if (!event.request_id.empty()) changes_[event.request_id] = event.run_id;
}

void JobBook::On(const RunUpdated& event) {
  Run& run = RunOf(event.run_id);
  FERMENT_CHECK(run.state == RunState::kRunning) << "run=" << event.run_id;
  if (event.suspended) run.suspended = *event.suspended;
  if (event.priority) run.priority = *event.priority;
  if (!event.request_id.empty()) changes_[event.request_id] = event.run_id;
}

void JobBook::On(const RunEnded& event) {
  Run& run = RunOf(event.run_id);
  FERMENT_CHECK(run.state == RunState::kRunning && event.state != RunState::kRunning) << "run=" << event.run_id;
  run.state = event.state;
  std::erase(unfinished_, event.run_id);
  run.failure = event.failure;
  run.ended_wall_ms = event.wall_ms;
}

void JobBook::On(const RunForgotten& event) {
  FERMENT_CHECK(RunOf(event.run_id).state != RunState::kRunning) << "run=" << event.run_id;
  const auto of_it = [&](const auto& request) { return request.second == event.run_id; };
  std::erase_if(submissions_, of_it);
  std::erase_if(changes_, of_it);
  std::erase(run_order_, event.run_id);
  runs_.erase(event.run_id);
  ++forgotten_;
}

void JobBook::On(const AttemptIntended& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(!HasEnded(job.state) && event.attempt > job.attempt.number)
      << "job=" << event.job_id << " attempt=" << event.attempt;
  if (job.state == JobState::kPending && job.started_wall_ms == 0) job.started_wall_ms = event.wall_ms;
  job.state = JobState::kRunning;
  job.attempt = {};
  job.attempt.number = event.attempt;
}

void JobBook::On(const AttemptLaunched& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(job.attempt.number == event.attempt) << "job=" << event.job_id << " attempt=" << event.attempt;
  job.attempt.launched = true;
}

void JobBook::On(const TokenTaken& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(job.attempt.number == event.attempt && event.token > job.last_token)
      << "job=" << event.job_id << " attempt=" << event.attempt << " token=" << event.token;
  job.last_token = event.token;
  job.attempt.token = event.token;
  job.attempt.incarnation = event.incarnation;
}

void JobBook::On(const JobCompleted& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(job.attempt.number == event.attempt) << "job=" << event.job_id << " attempt=" << event.attempt;
  job.attempt.completed = true;
  job.usage = event.usage;
  job.models = event.models;
  job.metrics = event.metrics;
}

void JobBook::On(const JobFailureReported& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(job.attempt.number == event.attempt) << "job=" << event.job_id << " attempt=" << event.attempt;
  job.attempt.reported = event.failure;
}

void JobBook::On(const AttemptExited& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(job.attempt.number == event.attempt && !job.attempt.exit_code)
      << "job=" << event.job_id << " attempt=" << event.attempt;
  job.attempt.exit_code = event.exit_code;
  job.attempt.stopped = event.stopped;
  if (!job.attempt.completed && !event.stopped) ++job.failed_attempts;
}

void JobBook::On(const ShardsPlanned& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(job.state == JobState::kPending) << "job=" << event.job_id;
  job.state = JobState::kRunning;
  if (job.started_wall_ms == 0) job.started_wall_ms = event.wall_ms;
  job.attempt.number += 1;
  job.work = event.work;
  if (event.shards.empty()) return;
  std::uint64_t epoch = 0;
  for (const Shard& former : job.shards) epoch = std::max(epoch, former.epoch);
  job.shards.clear();
  job.shards.reserve(event.shards.size());
  job.result_folders.clear();
  job.failed_by.clear();
  job.deaths.clear();
  job.pending.clear();
  job.suspects.clear();
  job.committed = 0;
  job.records = {};
  job.canaries = {};
  job.usage = {};
  for (const PlannedShard& plan : event.shards) {
    Shard shard;
    shard.plan = plan;
    shard.epoch = epoch;
    job.Append(std::move(shard));
  }
}

void JobBook::On(const JobEnded& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(!HasEnded(job.state) && HasEnded(event.state)) << "job=" << event.job_id;
  job.state = event.state;
  job.failure = event.failure;
  job.ended_wall_ms = event.wall_ms;
  for (const std::uint64_t index : std::set<std::uint64_t>(job.leased)) ReleaseShard(job, index);
}

void JobBook::On(const LabelerRegistered& event) {
  Labeler labeler{event.labeler_id, event.name, event.incarnation, event.instruction_set};
  labeler.host = event.host;
  if (const std::string* former = Find(labeler_by_name_, event.name); former != nullptr) {
    const Labeler& before = labelers_.at(*former);
    if (before.host == event.host) {
      labeler.failures = before.failures;
      labeler.trusted = before.trusted;
    }
    labelers_.erase(*former);
  }
  labelers_[event.labeler_id] = std::move(labeler);
  labeler_by_name_[event.name] = event.labeler_id;
  ForgetDeathsOf(event.labeler_id);  // of one that was forgotten, and was not dead
}

void JobBook::On(const LabelerForgotten& event) {
  const auto labeler = labelers_.find(event.labeler_id);
  FERMENT_CHECK(labeler != labelers_.end()) << "labeler=" << event.labeler_id;
  labeler_by_name_.erase(labeler->second.name);
  labelers_.erase(labeler);
}

void JobBook::On(const ShardLeased& event) {
  Job& job = JobInProgress(event.key.run_id, event.key.job_id);
  FERMENT_CHECK(event.key.shard < job.shards.size()) << "job=" << event.key.job_id << " shard=" << event.key.shard;
  Shard& shard = job.shards[event.key.shard];
  FERMENT_CHECK(shard.state == ShardState::kPending && event.key.epoch == shard.epoch + 1)
      << "job=" << event.key.job_id << " shard=" << event.key.shard << " epoch=" << event.key.epoch;
  job.SetState(event.key.shard, ShardState::kLeased);
  shard.epoch = event.key.epoch;
  shard.labeler_id = event.labeler_id;
  std::set<std::uint64_t>& among = job.suspects.contains(event.key.shard) ? job.suspects : job.pending;
  job.leased.insert(job.leased.end(), among.extract(event.key.shard));
  if (event.alone) job.alone.insert(event.key.shard);
  const auto labeler = labelers_.find(event.labeler_id);
  if (labeler == labelers_.end()) return;
  labeler->second.leased_since_failure = true;
  if (event.call == 0) return;
  if (labeler->second.last_call != event.call) labeler->second.last_leases.clear();
  labeler->second.last_call = event.call;
  labeler->second.last_leases.push_back(event.key);
}

void JobBook::CountFailure(const std::string& labeler_id, bool lost) {
  const auto found = labelers_.find(labeler_id);
  if (found == labelers_.end() || (lost && !found->second.leased_since_failure)) return;
  ++found->second.failures;
  found->second.leased_since_failure = false;
}

void JobBook::On(const ShardReleased& event) {
  Shard& shard = LeasedShard(event.key);
  Job& job = JobInProgress(event.key.run_id, event.key.job_id);
  if (event.reason == ReleaseReason::kFailed) {
    ++shard.failures;
    const Labeler* labeler = FindLabeler(shard.labeler_id);
    if (labeler != nullptr) job.failed_by[event.key.shard].push_back({labeler->name, labeler->host});
    job.deaths.erase(event.key.shard);  // it came out of it alive
  }
  if (event.reason != ReleaseReason::kReturned) {
    CountFailure(shard.labeler_id, /*lost=*/event.reason != ReleaseReason::kFailed);
    const auto labeler = labelers_.find(shard.labeler_id);
    if (labeler != labelers_.end() && !job.alone.contains(event.key.shard)) labeler->second.trusted = false;
  }
  CountDeath(job, shard, event);
  if (!event.request_id.empty()) shard.last_request_id = event.request_id;
  ReleaseShard(job, event.key.shard);
}

void JobBook::CountDeath(Job& job, const Shard& shard, const ShardReleased& event) {
  if (event.reason != ReleaseReason::kExpired && event.reason != ReleaseReason::kReplaced) return;
  const auto labeler = labelers_.find(shard.labeler_id);
  if (labeler == labelers_.end()) return;
  if (event.reason == ReleaseReason::kExpired) labeler->second.silent = true;
  std::vector<Death>& deaths = job.deaths[event.key.shard];
  if (CameFurther(shard.plan, deaths, event.records_done)) deaths.clear();
  deaths.push_back({shard.labeler_id, labeler->second.host, job.alone.contains(event.key.shard), event.records_done});
}

void JobBook::On(const LabelerReturned& event) {
  const auto labeler = labelers_.find(event.labeler_id);
  FERMENT_CHECK(labeler != labelers_.end()) << "labeler=" << event.labeler_id;
  labeler->second.silent = false;
  ForgetDeathsOf(event.labeler_id);
}

void JobBook::ForgetDeathsOf(const std::string& labeler_id) {
  for (auto& [run_id, run] : runs_) {
    if (run.state != RunState::kRunning) continue;
    for (Job& job : run.jobs) {
      for (auto& [shard, deaths] : job.deaths) {
        std::erase_if(deaths, [&](const Death& one) { return one.labeler_id == labeler_id; });
      }
      std::erase_if(job.deaths, [](const auto& one) { return one.second.empty(); });
      const std::set<std::uint64_t> were = std::exchange(job.suspects, {});
      for (const std::uint64_t shard : were) job.Offer(shard);
    }
  }
}

void JobBook::On(const ShardCommitted& event) {
  Shard& shard = LeasedShard(event.key);
  Job& job = JobInProgress(event.key.run_id, event.key.job_id);
  job.SetState(event.key.shard, ShardState::kCommitted);
  shard.last_request_id = {};
  shard.files = PackedFiles(event.files, job.result_folders);
  shard.counts = event.counts;
  shard.counts.class_histogram = {};
  job.leased.erase(event.key.shard);
  job.alone.erase(event.key.shard);
  job.failed_by.erase(event.key.shard);
  job.deaths.erase(event.key.shard);
  ++job.committed;
  job.records.Add(event.counts);
  job.canaries.Add(event.canaries);
  job.usage.samples += event.counts.read;
  job.usage.cpu_seconds += event.cpu_seconds;
  job.usage.peak_rss_bytes = std::max(job.usage.peak_rss_bytes, event.peak_rss_bytes);
  if (const auto labeler = labelers_.find(shard.labeler_id); labeler != labelers_.end()) {
    ++labeler->second.shards_committed;
    labeler->second.records += event.counts.read;
    labeler->second.failures = 0;
    labeler->second.trusted = true;
  }
}

void JobBook::On(const ShardFailed& event) {
  Job& job = JobOf(event.key.run_id, event.key.job_id);
  FERMENT_CHECK(event.key.shard < job.shards.size()) << "job=" << event.key.job_id << " shard=" << event.key.shard;
  // Pending: as ShardCondemned, or in a log of before there was that.
  const bool pending = job.shards[event.key.shard].state == ShardState::kPending;
  Shard& shard = pending ? job.shards[event.key.shard] : LeasedShard(event.key);
  FERMENT_CHECK(shard.epoch == event.key.epoch) << "job=" << event.key.job_id << " shard=" << event.key.shard;
  job.SetState(event.key.shard, ShardState::kFailed);
  if (!event.request_id.empty()) shard.last_request_id = event.request_id;
  shard.counts = event.counts;
  ++shard.failures;
  job.pending.erase(event.key.shard);
  job.suspects.erase(event.key.shard);
  job.leased.erase(event.key.shard);
  job.alone.erase(event.key.shard);
  job.failed_by.erase(event.key.shard);
  job.deaths.erase(event.key.shard);
  ++job.failed;
  job.failure = event.failure;
}

void JobBook::On(const ShardCondemned& event) {
  const Job* job = FindJob(event.key.run_id, event.key.job_id);
  FERMENT_CHECK(job != nullptr && job->shards.at(event.key.shard).state == ShardState::kPending)
      << "job=" << event.key.job_id << " shard=" << event.key.shard;
  On(ShardFailed{event.key, "", event.failure, {}});
}

void JobBook::On(const TeacherTripped& event) {
  Job& job = JobOf(event.run_id, event.job_id);
  FERMENT_CHECK(job.plan.phase == Phase::kLabel && job.tripped.empty() && !event.reason.empty())
      << "job=" << event.job_id;
  job.tripped = event.reason;
  job.tripped_by = event.request_id;
}

}  // namespace ferment::coordinator
