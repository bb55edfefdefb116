// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/result.h"
#include "coordinator/core/job_book.h"
#include "coordinator/core/suspect.h"

namespace ferment::coordinator {
namespace {

/// In one event: few enough that a snapshot needs little memory beside the book.
constexpr std::size_t kShardsAnEvent = 4'096;
constexpr std::size_t kRequestsAnEvent = 4'096;

constexpr std::size_t kLettersKept = 20'000;

char LetterOf(ShardState state) { return "plcf"[static_cast<std::size_t>(state)]; }

}  // namespace

bool OfSnapshot(const Event& event) {
  return std::holds_alternative<RunRestored>(event) || std::holds_alternative<ShardsRestored>(event) ||
         std::holds_alternative<LabelerRestored>(event) || std::holds_alternative<RequestsRestored>(event) ||
         std::holds_alternative<ForgottenRestored>(event);
}

Status JobBook::Snapshot(const std::function<Status(const Event&)>& take) const {
  for (const std::string& run_id : run_order_) {
    const Run& run = *FindRun(run_id);
    FERMENT_RETURN_IF_ERROR(take(RunRestored{run, {run.jobs.begin(), run.jobs.end()}}));
    for (const Job& job : run.jobs) {
      for (std::size_t first = 0; first < job.shards.size(); first += kShardsAnEvent) {
        const auto begin = job.shards.begin() + static_cast<std::ptrdiff_t>(first);
        const auto count = std::min(kShardsAnEvent, job.shards.size() - first);
        FERMENT_RETURN_IF_ERROR(take(ShardsRestored{
            run_id, job.plan.job_id, std::vector<Shard>(begin, begin + static_cast<std::ptrdiff_t>(count))}));
      }
    }
  }
  for (const auto& [labeler_id, labeler] : labelers_) FERMENT_RETURN_IF_ERROR(take(LabelerRestored{labeler}));
  RequestsRestored requests;
  const auto flush = [&](std::size_t least) -> Status {
    if (requests.submissions.size() + requests.changes.size() < least) return {};
    FERMENT_RETURN_IF_ERROR(take(requests));
    requests = {};
    return {};
  };
  for (const auto& [request_id, run_id] : submissions_) {
    requests.submissions.emplace(request_id, run_id);
    FERMENT_RETURN_IF_ERROR(flush(kRequestsAnEvent));
  }
  for (const auto& [request_id, run_id] : changes_) {
    requests.changes.emplace(request_id, run_id);
    FERMENT_RETURN_IF_ERROR(flush(kRequestsAnEvent));
  }
  FERMENT_RETURN_IF_ERROR(flush(1));
  // A version that forgets no runs can read the log of one that has forgotten none.
  return forgotten_ == 0 ? Status() : take(ForgottenRestored{forgotten_});
}

void Job::Append(Shard shard) {
  const std::uint64_t index = shards.size();
  if (shard.state == ShardState::kPending) Offer(index);
  if (shard.state == ShardState::kLeased) leased.insert(leased.end(), index);
  if (shard.state == ShardState::kCommitted) ++committed;
  if (shard.state == ShardState::kFailed) ++failed;
  if (index < kLettersKept) letters += LetterOf(shard.state);
  shards.push_back(std::move(shard));
}

void Job::SetState(std::uint64_t shard, ShardState to) {
  shards[shard].state = to;
  if (shard < letters.size()) letters[shard] = LetterOf(to);
}

void Job::Offer(std::uint64_t shard) {
  std::set<std::uint64_t>& among = IsSuspect(*this, shard) ? suspects : pending;
  among.insert(among.end(), shard);
}

std::uint64_t JobBook::CountShards() const {
  std::uint64_t shards = 0;
  for (const auto& [run_id, run] : runs_) {
    for (const Job& job : run.jobs) shards += job.shards.size();
  }
  return shards;
}

void JobBook::On(const RunRestored& event) {
  Run run{event.run, {}};
  for (const JobSummary& summary : event.jobs) static_cast<JobSummary&>(run.jobs.emplace_back()) = summary;
  const bool fresh = runs_.emplace(event.run.run_id, std::move(run)).second;
  FERMENT_CHECK(fresh) << "a run is restored twice: run=" << event.run.run_id;
  run_order_.push_back(event.run.run_id);
  if (event.run.state == RunState::kRunning) unfinished_.push_back(event.run.run_id);
}

void JobBook::On(const ShardsRestored& event) {
  const auto run = runs_.find(event.run_id);
  FERMENT_CHECK(run != runs_.end()) << "shards of no run: run=" << event.run_id;
  auto& jobs = run->second.jobs;
  const auto job = std::find_if(jobs.begin(), jobs.end(), [&](const Job& j) { return j.plan.job_id == event.job_id; });
  FERMENT_CHECK(job != jobs.end()) << "shards of no job: run=" << event.run_id << " job=" << event.job_id;
  for (const Shard& shard : event.shards) job->Append(shard);
}

void JobBook::On(const LabelerRestored& event) {
  labelers_[event.labeler.labeler_id] = event.labeler;
  labeler_by_name_[event.labeler.name] = event.labeler.labeler_id;
}

void JobBook::On(const RequestsRestored& event) {
  submissions_.insert(event.submissions.begin(), event.submissions.end());
  changes_.insert(event.changes.begin(), event.changes.end());
}

void JobBook::On(const ForgottenRestored& event) { forgotten_ = event.runs; }

}  // namespace ferment::coordinator
