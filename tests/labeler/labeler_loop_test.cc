// SPDX-License-Identifier: Apache-2.0
#include "labeler/labeler_loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "labeler/ordered_prefetch.h"

namespace ferment::labeler {
namespace {

/// Hands out leases whose spec names no data, so that each shard fails; records what it was told.
class ScriptedLeaseClient final : public LeaseClient {
 public:
  explicit ScriptedLeaseClient(int leases, RunSpec spec = {})
      : leases_(leases), spec_(std::make_shared<const RunSpec>(std::move(spec))) {}
  Result<LeaseOffer> Take() override {
    taken_by_others = taken_by_others || std::this_thread::get_id() != home_;
    if (taken >= leases_) return LeaseOffer{{}, std::chrono::milliseconds(1), true};
    Lease lease;
    lease.key.shard = static_cast<std::uint64_t>(taken++);
    lease.duration = std::chrono::hours(1);
    lease.spec = spec_;
    lease.work = LabelTask{};
    return LeaseOffer{{lease}, std::chrono::milliseconds(0), false};
  }
  Result<std::chrono::milliseconds> Renew(const LeaseKey& /*key*/, std::uint64_t /*done*/) override {
    return std::chrono::milliseconds(std::chrono::hours(1));
  }
  Result<LeaseOffer> Commit(const Lease& /*lease*/, const ShardResult& /*result*/) override { return LeaseOffer(); }
  Status Return(const LeaseKey& key) override {
    returned.push_back(key.shard);
    return Status();
  }
  Status FailShard(const LeaseKey& key, const ShardFailure& failure) override {
    failed.push_back(key.shard);
    failures.push_back(failure);
    return answer.ok() ? Status() : answer.With(std::string(failure.status.message()));
  }

  int taken = 0;
  /// Another thread than the one that made this took a lease, while that one was at work.
  bool taken_by_others = false;
  std::vector<std::uint64_t> returned, failed;
  std::vector<ShardFailure> failures;
  Status answer;

 private:
  const std::thread::id home_ = std::this_thread::get_id();
  int leases_;
  std::shared_ptr<const RunSpec> spec_;
};

WorkRunner BrokenRunner() {
  return {[](const RunSpec&, const Model&) { return Result<std::unique_ptr<Annotator>>(Fail(NotFoundError("none"))); },
          1};
}

TEST(LabelerLoop, ReportsEachShardThatCannotBeDoneAndLeavesWhenIdle) {
  ScriptedLeaseClient client(3);
  WorkRunner runner = BrokenRunner();
  EXPECT_TRUE(LabelerLoop(client, runner, /*exit_when_idle=*/true).Run({}).ok());
  EXPECT_EQ(client.failed, (std::vector<std::uint64_t>{0, 1, 2}));
  EXPECT_TRUE(client.returned.empty());
}

TEST(LabelerLoop, TakesNoLeaseBeforeItBeginsItWhereItIsToldSo) {
  ScriptedLeaseClient client(3);
  WorkRunner runner = BrokenRunner();
  EXPECT_TRUE(LabelerLoop(client, runner, /*exit_when_idle=*/true, NextLease::kTakenWhenBegun).Run({}).ok());
  EXPECT_EQ(client.failed, (std::vector<std::uint64_t>{0, 1, 2}));
  EXPECT_FALSE(client.taken_by_others);
}

TEST(LabelerLoop, HandsBackTheLeaseItTookAheadWhenItCannotGoOn) {
  ScriptedLeaseClient client(2);
  client.answer = UnavailableError("no coordinator");
  WorkRunner runner = BrokenRunner();
  const Status status = LabelerLoop(client, runner, true).Run({});
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(client.returned, (std::vector<std::uint64_t>{1}));
}

TEST(LabelerLoop, LeavesAndBlamesNoShardWhereItsDeviceIsLost) {
  RunSpec spec;
  spec.mutable_data()->mutable_fr()->set_format("folder");
  spec.mutable_data()->mutable_fr()->set_path(FERMENT_FIXTURES "/jpeg");
  ScriptedLeaseClient client(2, spec);
  WorkRunner runner(
      [](const RunSpec&, const Model&) {
        return Result<std::unique_ptr<Annotator>>(
            Fail(UnavailableError("the GPU no longer answers").WithExitCode(exit_code::kMissingService)));
      },
      1);
  const Status status = LabelerLoop(client, runner, true).Run({});
  EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService) << status.ToString();
  EXPECT_TRUE(client.failed.empty());
  EXPECT_EQ(client.returned, (std::vector<std::uint64_t>{0, 1}));
}

/// Says that it was made in reduced precision and names other classes.
class Disagreeing final : public Annotator {
 public:
  std::size_t batch() const override { return 1; }
  std::size_t classes() const override { return 4; }
  std::optional<double> agreement() const override { return 0.98; }
  Result<Annotation> Annotate(std::span<const dataset::Image> /*faces*/) override {
    ADD_FAILURE() << "nothing is labelled with it";
    return Fail(InternalError("it was asked"));
  }
};

TEST(LabelerLoop, FailsAShardWhoseNetworkDisagreesWithFloat32AndSaysSoToPrograms) {
  RunSpec spec;
  spec.mutable_data()->mutable_fr()->set_format("folder");
  spec.mutable_data()->mutable_fr()->set_path(FERMENT_FIXTURES "/jpeg");
  spec.mutable_labeling()->set_plan("int8");
  ScriptedLeaseClient client(1, spec);
  WorkRunner runner([](const RunSpec&, const Model&) { return std::make_unique<Disagreeing>(); }, 1);
  EXPECT_TRUE(LabelerLoop(client, runner, true).Run({}).ok());
  ASSERT_EQ(client.failures.size(), 1U);
  EXPECT_EQ(client.failures[0].cause, FailureCause::kPlanRefused);
  EXPECT_EQ(ProcessExitCode(client.failures[0].status), exit_code::kBadData);
  EXPECT_NE(client.failures[0].status.message().find("int8 gives other labels than fp32; set labeling.plan to fp32"),
            std::string::npos)
      << client.failures[0].status.message();
}

/// Has nothing to do after its first lease: once for the look ahead, and once for who waits.
class PausingLeaseClient final : public LeaseClient {
 public:
  explicit PausingLeaseClient(RunSpec spec) : inner_(2, std::move(spec)) {}
  Result<LeaseOffer> Take() override {
    if (inner_.taken == 1 && pauses_-- > 0) return LeaseOffer{{}, std::chrono::milliseconds(1), false};
    return inner_.Take();
  }
  Result<std::chrono::milliseconds> Renew(const LeaseKey& key, std::uint64_t done) override {
    return inner_.Renew(key, done);
  }
  Result<LeaseOffer> Commit(const Lease& lease, const ShardResult& result) override {
    return inner_.Commit(lease, result);
  }
  Status Return(const LeaseKey& key) override { return inner_.Return(key); }
  Status FailShard(const LeaseKey& key, const ShardFailure& failure) override { return inner_.FailShard(key, failure); }

 private:
  ScriptedLeaseClient inner_;
  int pauses_ = 2;
};

TEST(LabelerLoop, OpensItsNetworkAnewAfterThereWasNoWork) {
  RunSpec spec;
  spec.mutable_data()->mutable_fr()->set_format("folder");
  spec.mutable_data()->mutable_fr()->set_path(FERMENT_FIXTURES "/jpeg");
  const auto opened_by = [](LeaseClient& client) {
    int opened = 0;
    WorkRunner runner(
        [&](const RunSpec&, const Model&) {
          ++opened;
          return std::make_unique<Disagreeing>();
        },
        1);
    EXPECT_TRUE(LabelerLoop(client, runner, true).Run({}).ok());
    return opened;
  };
  ScriptedLeaseClient busy(2, spec);
  EXPECT_EQ(opened_by(busy), 1);
  PausingLeaseClient pausing(spec);
  EXPECT_EQ(opened_by(pausing), 2);
}

TEST(LabelerLoop, StopsAtOnceWhenAsked) {
  ScriptedLeaseClient client(2);
  WorkRunner runner = BrokenRunner();
  std::stop_source ending;
  ending.request_stop();
  EXPECT_EQ(LabelerLoop(client, runner, true).Run(ending.get_token()).code(), StatusCode::kCancelled);
  EXPECT_EQ(client.taken, 0);
}

TEST(OrderedPrefetch, HandsOutInOrderWhateverTheThreads) {
  for (const int threads : {1, 2, 5}) {
    OrderedPrefetch<std::uint64_t> items(50, threads, [](std::uint64_t i) { return i * i; });
    for (std::uint64_t i = 0; i < 50; ++i) EXPECT_EQ(items.Next(), i * i);
  }
  OrderedPrefetch<int> abandoned(50, 2, [](std::uint64_t) { return 1; });
  EXPECT_EQ(abandoned.Next(), 1);
}

}  // namespace
}  // namespace ferment::labeler
