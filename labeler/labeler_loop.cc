// SPDX-License-Identifier: Apache-2.0
#include "labeler/labeler_loop.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <utility>

#include "common/base/logging.h"

namespace ferment::labeler {
namespace {

constexpr std::chrono::milliseconds kShortestPause{50};
constexpr std::chrono::milliseconds kLongestPause{2000};

void Pause(std::chrono::milliseconds time, const std::stop_token& ending) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, ending, std::clamp(time, kShortestPause, kLongestPause), [&] { return ending.stop_requested(); });
}

}  // namespace

Result<std::optional<LabelerLoop::Held>> LabelerLoop::TakeOne(const std::stop_token& ending, bool wait) {
  while (!ending.stop_requested()) {
    FERMENT_ASSIGN_OR_RETURN(LeaseOffer offer, client_.Take());
    if (!offer.leases.empty()) {
      return std::optional<Held>(Keep(std::move(offer.leases.front()), ending));
    }
    if (!wait || (offer.idle && exit_when_idle_)) return std::optional<Held>();
    runner_.Rest();
    Pause(offer.retry_after, ending);
  }
  return Fail(CancelledError("asked to stop"));
}

LabelerLoop::Held LabelerLoop::Keep(Lease lease, const std::stop_token& ending) {
  auto keeper = std::make_unique<LeaseKeeper>(client_, lease, ending);
  return {std::move(lease), std::move(keeper)};
}

Status LabelerLoop::Run(std::stop_token ending) {
  std::deque<Held> ahead;
  while (true) {
    if (ahead.empty()) {
      FERMENT_ASSIGN_OR_RETURN(std::optional<Held> first, TakeOne(ending, /*wait=*/true));
      if (!first) return Status();
      ahead.push_back(std::move(*first));
    }
    Held held = std::move(ahead.front());
    ahead.pop_front();
    std::future<Result<std::optional<Held>>> taking;
    if (ahead.empty() && next_ == NextLease::kTakenAhead)
      taking = std::async(std::launch::async, [&] { return TakeOne(ending, /*wait=*/false); });
    auto worked = WorkOn(held);
    if (taking.valid()) {
      if (auto taken = taking.get(); taken && *taken) ahead.push_back(std::move(**taken));
    }
    if (worked) {
      for (Lease& lease : worked->leases) ahead.push_back(Keep(std::move(lease), ending));
    }
    if (ending.stop_requested() || !worked) {
      for (Held& unused : ahead) HandBack(unused);
      return ending.stop_requested() ? CancelledError("asked to stop") : worked.error();
    }
  }
}

Result<LeaseOffer> LabelerLoop::WorkOn(Held& held) {
  const LeaseKey& key = held.lease.key;
  LogInfo("shard_started", {{"job", key.job_id}, {"shard", key.shard}, {"epoch", key.epoch}});
  auto outcome = runner_.Run(held.lease, held.keeper->work(), held.keeper->done());
  Status failure = outcome ? outcome->failure : outcome.error();
  // A disk that is full or fails: what a second try would seem to write need not be there.
  const bool disk_failed = failure.exit_code() == exit_code::kStorageFailed;
  if (held.keeper->lost()) return disk_failed ? Result<LeaseOffer>(Fail(failure)) : LeaseOffer();
  if (failure.code() == StatusCode::kCancelled) {
    HandBack(held);
    return LeaseOffer();
  }
  if (failure.code() == StatusCode::kUnavailable && failure.exit_code() == exit_code::kMissingService) {
    // Nothing is amiss with the shard: whoever has a sound device may have it.
    HandBack(held);
    return Fail(failure);
  }
  Status reported;
  LeaseOffer next;
  if (!failure.ok()) {
    LogError("shard_failed", {{"job", key.job_id}, {"shard", key.shard}, {"why", failure.message()}});
    reported = client_.FailShard(
        key, outcome ? ShardFailure{failure, outcome->cause, outcome->result.counts} : ShardFailure{failure});
    if (disk_failed) return Fail(failure);
  } else {
    auto committed = client_.Commit(held.lease, outcome->result);
    reported = committed ? Status() : committed.error();
    if (committed) {
      next = std::move(*committed);
      const Counts& counts = outcome->result.counts;
      LogInfo("shard_committed", {{"job", key.job_id},
                                  {"shard", key.shard},
                                  {"read", counts.read},
                                  {"labelled", counts.labelled},
                                  {"quarantined", counts.quarantined},
                                  {"canaries", outcome->result.canaries.checked},
                                  {"canaries_right", outcome->result.canaries.correct},
                                  {"seconds", outcome->result.seconds}});
    }
  }
  if (reported.ok() || reported.code() == StatusCode::kAborted || reported.code() == StatusCode::kNotFound) {
    if (!reported.ok()) LogWarning("result_refused", {{"shard", key.shard}, {"why", reported.message()}});
    return next;
  }
  if (reported.code() == StatusCode::kCancelled) {
    HandBack(held);
    return LeaseOffer();
  }
  return Fail(reported.With("reporting shard " + std::to_string(key.shard)));
}

void LabelerLoop::HandBack(Held& held) {
  held.keeper.reset();
  const Status status = client_.Return(held.lease.key);
  LogInfo("lease_returned", {{"shard", held.lease.key.shard}, {"outcome", status.ToString()}});
}

}  // namespace ferment::labeler
