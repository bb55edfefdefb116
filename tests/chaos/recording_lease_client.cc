// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/recording_lease_client.h"

#include <signal.h>
#include <unistd.h>

#include "common/base/random.h"

namespace ferment::chaos {
namespace {

using labeler::Lease;
using labeler::LeaseKey;
using labeler::LeaseOffer;

HistoryLine About(const char* what, const LeaseKey& key) {
  HistoryLine line;
  line.what = what;
  line.run = key.run_id;
  line.job = key.job_id;
  line.shard = key.shard;
  line.epoch = key.epoch;
  return line;
}

class RecordingLeaseClient final : public labeler::LeaseClient {
 public:
  RecordingLeaseClient(std::unique_ptr<labeler::LeaseClient> inner, HistoryWriter& history,
                       const SleepBeforeCommit& sleep)
      : inner_(std::move(inner)), history_(history), sleep_(sleep) {}

  Result<LeaseOffer> Take() override {
    auto offer = inner_->Take();
    if (offer) Granted(*offer);
    return offer;
  }
  Result<std::chrono::milliseconds> Renew(const LeaseKey& key, std::uint64_t records_done) override {
    Invoke(About("renew", key));
    auto answer = inner_->Renew(key, records_done);
    Answer(About("renew", key), answer ? Status() : answer.error());
    return answer;
  }
  Result<LeaseOffer> Commit(const Lease& lease, const labeler::ShardResult& result) override {
    HistoryLine line = About("commit", lease.key);
    if (!result.files.empty()) line.digest = result.files.front().sha256;
    if (FallsAsleep(lease.key)) kill(getpid(), SIGSTOP);
    Invoke(line);
    auto next = inner_->Commit(lease, result);
    Answer(line, next ? Status() : next.error());
    if (next) Granted(*next);
    return next;
  }
  Status Return(const LeaseKey& key) override {
    Invoke(About("return", key));
    Status status = inner_->Return(key);
    Answer(About("return", key), status);
    return status;
  }
  Status FailShard(const LeaseKey& key, const labeler::ShardFailure& failure) override {
    Invoke(About("fail_shard", key));
    Status status = inner_->FailShard(key, failure);
    Answer(About("fail_shard", key), status);
    return status;
  }

 private:
  void Invoke(HistoryLine line) {
    line.outcome = "invoke";
    history_.Add(std::move(line));
  }
  void Answer(HistoryLine line, const Status& status) {
    line.outcome = OutcomeOf(status);
    if (!status.ok()) line.note = status.ToString();
    history_.Add(std::move(line));
  }
  void Granted(const LeaseOffer& offer) {
    for (const Lease& lease : offer.leases) Answer(About("lease", lease.key), Status());
  }
  bool FallsAsleep(const LeaseKey& key) const {
    if (sleep_.one_in == 0) return false;
    return RandomBits(sleep_.seed, key.shard, key.epoch) % sleep_.one_in == 0;
  }

  const std::unique_ptr<labeler::LeaseClient> inner_;
  HistoryWriter& history_;
  const SleepBeforeCommit sleep_;
};

}  // namespace

std::unique_ptr<labeler::LeaseClient> MakeRecordingLeaseClient(std::unique_ptr<labeler::LeaseClient> inner,
                                                               HistoryWriter& history, const SleepBeforeCommit& sleep) {
  return std::make_unique<RecordingLeaseClient>(std::move(inner), history, sleep);
}

}  // namespace ferment::chaos
