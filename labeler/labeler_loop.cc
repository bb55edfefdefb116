// SPDX-License-Identifier: Apache-2.0
#include "labeler/labeler_loop.h"

#include <algorithm>
#include <condition_variable>
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
      Lease lease = std::move(offer.leases.front());
      auto keeper = std::make_unique<LeaseKeeper>(client_, lease, ending);
      return std::optional<Held>(Held{std::move(lease), std::move(keeper)});
    }
    if (!wait || (offer.idle && exit_when_idle_)) return std::optional<Held>();
    Pause(offer.retry_after, ending);
  }
  return Fail(CancelledError("asked to stop"));
}

Status LabelerLoop::Run(std::stop_token ending) {
  std::optional<Held> next;
  while (true) {
    if (!next) {
      FERMENT_ASSIGN_OR_RETURN(next, TakeOne(ending, /*wait=*/true));
      if (!next) return Status();
    }
    Held held = std::move(*next);
    next.reset();
    auto ahead = std::async(std::launch::async, [&] { return TakeOne(ending, /*wait=*/false); });
    const Status status = WorkOn(held);
    auto taken = ahead.get();
    if (taken) next = std::move(*taken);
    if (ending.stop_requested() || !status.ok()) {
      if (next) HandBack(*next);
      return ending.stop_requested() ? CancelledError("asked to stop") : status;
    }
  }
}

Status LabelerLoop::WorkOn(Held& held) {
  const LeaseKey& key = held.lease.key;
  LogInfo("shard_started", {{"job", key.job_id}, {"shard", key.shard}, {"epoch", key.epoch}});
  auto outcome = runner_.Run(held.lease, held.keeper->work(), held.keeper->done());
  if (held.keeper->lost()) return Status();
  Status failure = outcome ? outcome->failure : outcome.error();
  if (failure.code() == StatusCode::kCancelled) {
    HandBack(held);
    return Status();
  }
  Status reported;
  if (!failure.ok()) {
    LogError("shard_failed", {{"job", key.job_id}, {"shard", key.shard}, {"why", failure.message()}});
    reported = client_.FailShard(key, failure, outcome ? outcome->result.counts : Counts());
  } else {
    reported = client_.Commit(held.lease, outcome->result);
    if (reported.ok()) {
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
    return Status();
  }
  if (reported.code() == StatusCode::kCancelled) {
    HandBack(held);
    return Status();
  }
  return reported.With("reporting shard " + std::to_string(key.shard));
}

void LabelerLoop::HandBack(Held& held) {
  held.keeper.reset();
  const Status status = client_.Return(held.lease.key);
  LogInfo("lease_returned", {{"shard", held.lease.key.shard}, {"outcome", status.ToString()}});
}

}  // namespace ferment::labeler
