// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stop_token>
#include <thread>

#include "labeler/grpc_lease_client.h"
#include "tests/cluster/lease_cluster_fixture.h"

namespace ferment::testing {
namespace {

using namespace std::chrono_literals;

TEST_F(LeaseCluster, AGoneLabelersShardIsDoneByAnotherAndItsLateCommitIsAborted) {
  StartLabelling();
  ScriptedLabeler gone(cluster_.address(), "gone");
  ASSERT_TRUE(gone.Register().ok());
  const auto lost = gone.Lease();
  ASSERT_TRUE(lost) << lost.error().ToString();
  EXPECT_EQ(lost->record_count(), 10U);
  cluster_.world().clock.Advance(11s);
  ASSERT_TRUE(Eventually([&] { return JobNamed("label").shards().leased() == 0; }));

  ScriptedLabeler other(cluster_.address(), "other");
  ASSERT_TRUE(other.Register().ok());
  for (int i = 0; i < 3; ++i) {
    const auto lease = other.Lease();
    ASSERT_TRUE(lease) << lease.error().ToString();
    EXPECT_EQ(lease->key().epoch(), lease->key().shard() == lost->key().shard() ? 2U : 1U);
    EXPECT_EQ(gone.Renew(lost->key()).code(), StatusCode::kAborted);
    EXPECT_TRUE(other.Commit(*lease, "sha" + std::to_string(lease->key().shard())));
  }
  const auto late = gone.Commit(*lost, "different");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), StatusCode::kAborted);
  EXPECT_TRUE(JobIs("label", v1::JOB_STATE_SUCCEEDED));
  EXPECT_EQ(cluster_.world().run_files.indexed(), 3U);
}

TEST_F(LeaseCluster, ALeaseAndACommitOutliveTheCoordinator) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto first = labeler.Lease();
  const auto second = labeler.Lease();
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(*labeler.Commit(*first, "one"));

  cluster_.StopCoordinator();
  cluster_.world().clock.Advance(1h);
  cluster_.StartCoordinator();

  EXPECT_TRUE(labeler.Renew(second->key()).ok()) << "a full lease time from the restart on";
  EXPECT_TRUE(*labeler.Commit(*first, "one")) << "committed before the restart: a duplicate";
  EXPECT_FALSE(*labeler.Commit(*second, "two"));
  EXPECT_EQ(JobNamed("label").shards().grid(), "ccp");
  EXPECT_EQ(JobNamed("teacher").state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(LeaseCluster, AReturnedLeaseIsGivenAgainUnderANewEpoch) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto lease = labeler.Lease();
  ASSERT_TRUE(lease);
  EXPECT_TRUE(labeler.Return(lease->key()).ok());
  EXPECT_EQ(labeler.Return(lease->key()).code(), StatusCode::kAborted);
  ScriptedLabeler other(cluster_.address(), "other");
  ASSERT_TRUE(other.Register().ok());
  const auto again = other.Lease();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->key().epoch(), lease->key().epoch() + 1);
}

TEST_F(LeaseCluster, ManyLabelersAtOnceCommitEachShardExactlyOnce) {
  constexpr std::uint64_t kShards = 200;
  cluster_.world().run_files.label_shards = kShards;
  StartLabelling();
  std::atomic<std::uint64_t> committed{0};
  {
    std::vector<std::jthread> labelers;
    for (int i = 0; i < 8; ++i) {
      labelers.emplace_back([this, i, &committed] {
        ScriptedLabeler labeler(cluster_.address(), "labeler-" + std::to_string(i));
        if (!labeler.Register().ok()) return;
        while (true) {
          const auto lease = labeler.Lease();
          if (!lease || !lease->job.has_label()) return;
          const auto duplicate = labeler.Commit(*lease, "sha" + std::to_string(lease->key().shard()));
          if (duplicate && !*duplicate) ++committed;
        }
      });
    }
  }
  EXPECT_EQ(committed, kShards);
  EXPECT_TRUE(JobIs("label", v1::JOB_STATE_SUCCEEDED));
  EXPECT_EQ(cluster_.metrics().commit_ok.Value(), kShards);
}

TEST_F(LeaseCluster, ACommitBringsTheNextLeaseAndARunsSpecTravelsOnce) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto stub = v1::LeaseService::NewStub(channel_);
  v1::LeaseShardsRequest lease;
  lease.set_labeler_id("labeler/1");
  const auto first = rpc::CallUnary(*stub, &v1::LeaseService::Stub::LeaseShards, lease);
  ASSERT_TRUE(first) << first.error().ToString();
  ASSERT_EQ(first->leases_size(), 1);
  EXPECT_EQ(first->specs().at(run_id_).name(), SmallSpec().name());

  v1::CommitShardRequest commit;
  commit.set_labeler_id("labeler/1");
  *commit.mutable_key() = LeaseOf(*first, 0).key();
  commit.mutable_counts()->set_read(10);
  commit.mutable_counts()->set_labelled(10);
  commit.add_files()->set_file("labels/x/0.npz");
  *commit.mutable_next() = lease;
  commit.mutable_next()->set_max_leases(5);
  commit.mutable_next()->set_call(1);
  commit.mutable_next()->add_known_runs(run_id_);
  const auto answer = rpc::CallUnary(*stub, &v1::LeaseService::Stub::CommitShard, commit);
  ASSERT_TRUE(answer) << answer.error().ToString();
  EXPECT_FALSE(answer->duplicate());
  EXPECT_EQ(answer->next().leases_size(), 2) << "of three shards two were left";
  EXPECT_TRUE(answer->next().specs().empty());
  EXPECT_EQ(JobNamed("label").shards().leased(), 2U);

  // The answer was lost, and the call comes again, to another coordinator by then.
  cluster_.StopCoordinator();
  cluster_.StartCoordinator();
  const auto again = rpc::CallUnary(*stub, &v1::LeaseService::Stub::CommitShard, commit, {.retry_for = 20s});
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_TRUE(again->duplicate());
  ASSERT_EQ(again->next().leases_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(again->next().leases(i).SerializeAsString(), answer->next().leases(i).SerializeAsString());
  }
}

TEST_F(LeaseCluster, ALeaseCallMadeAgainGetsNoOtherShards) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto stub = v1::LeaseService::NewStub(channel_);
  v1::LeaseShardsRequest request;
  request.set_labeler_id("labeler/1");
  request.set_max_leases(2);
  request.set_call(1);
  const auto first = rpc::CallUnary(*stub, &v1::LeaseService::Stub::LeaseShards, request);
  ASSERT_TRUE(first) << first.error().ToString();
  ASSERT_EQ(first->leases_size(), 2);
  ASSERT_TRUE(labeler.Return(LeaseOf(*first, 0).key()).ok());
  const auto again = rpc::CallUnary(*stub, &v1::LeaseService::Stub::LeaseShards, request);
  ASSERT_TRUE(again);
  ASSERT_EQ(again->leases_size(), 1) << "the other one was given back";
  EXPECT_EQ(again->leases(0).shard(), first->leases(1).shard());
  request.set_call(2);
  const auto other = rpc::CallUnary(*stub, &v1::LeaseService::Stub::LeaseShards, request);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->leases_size(), 2);
  request.set_call(1);
  const auto late = rpc::CallUnary(*stub, &v1::LeaseService::Stub::LeaseShards, request);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->leases_size(), 0) << "nobody waits for this answer any more";
}

TEST_F(LeaseCluster, ARefusedCommitBringsNoLease) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto lease = labeler.Lease();
  ASSERT_TRUE(lease);
  const auto stub = v1::LeaseService::NewStub(channel_);
  v1::CommitShardRequest commit;
  commit.set_labeler_id("labeler/1");
  *commit.mutable_key() = lease->key();
  commit.mutable_counts()->set_read(10);
  commit.add_files()->set_file("labels/x/0.npz");
  commit.mutable_next()->set_labeler_id("labeler/1");
  const auto refused = rpc::CallUnary(*stub, &v1::LeaseService::Stub::CommitShard, commit);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kDataLoss) << "read is not the sum of the rest";
  EXPECT_EQ(JobNamed("label").shards().leased(), 1U);
}

TEST_F(LeaseCluster, AFileNameThatHoldsANulIsRefusedAndEndsNobody) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto lease = labeler.Lease();
  ASSERT_TRUE(lease);
  const auto refused = labeler.Commit(*lease, std::string("one\0two", 7));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(labeler.Commit(*lease, "one")) << "the lease is held still";
}

TEST_F(LeaseCluster, ANewProcessTakesItsNameAndTheFormerOneLeaves) {
  StartLabelling();
  const auto client = [&](const char* incarnation) {
    return *labeler::MakeGrpcLeaseClient(cluster_.address(), {}, {"labeler", incarnation, "avx2", ""}, {});
  };
  const auto former = client("1");
  const auto lease = former->Take();
  ASSERT_TRUE(lease) << lease.error().ToString();
  ASSERT_EQ(lease->leases.size(), 1U);

  const auto latter = client("2");
  ASSERT_TRUE(latter->Take());
  EXPECT_EQ(former->Renew(lease->leases[0].key, 1).error().code(), StatusCode::kAborted);
  for (int i = 0; i < 2; ++i) {
    const auto refused = former->Take();
    ASSERT_FALSE(refused);
    EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kFenced) << refused.error().ToString();
  }
  EXPECT_TRUE(latter->Take());
}

TEST_F(LeaseCluster, ALabelerThatIsToldToLeaveCommitsWhatItHasDoneAndTakesNoMore) {
  StartLabelling();
  std::stop_source ending;
  const auto client =
      *labeler::MakeGrpcLeaseClient(cluster_.address(), {}, {"labeler", "1", "avx2", ""}, ending.get_token());
  const auto offer = client->Take();
  ASSERT_TRUE(offer) << offer.error().ToString();
  ASSERT_EQ(offer->leases.size(), 1U);
  ending.request_stop();
  const auto committed = client->Commit(offer->leases[0], ResultOf(offer->leases[0]));
  ASSERT_TRUE(committed) << committed.error().ToString();
  EXPECT_TRUE(committed->leases.empty());
  EXPECT_EQ(JobNamed("label").shards().grid(), "cpp");
}

TEST_F(LeaseCluster, ARefusedPlansAdviceFollowsFromItsCause) {
  StartLabelling();
  const auto client = *labeler::MakeGrpcLeaseClient(cluster_.address(), {}, {"labeler", "1", "avx2", ""}, {});
  const auto offer = client->Take();
  ASSERT_TRUE(offer) << offer.error().ToString();
  ASSERT_EQ(offer->leases.size(), 1U);
  const auto refused = FailedPreconditionError("other labels").WithExitCode(exit_code::kBadData);
  EXPECT_TRUE(client->FailShard(offer->leases[0].key, {refused, labeler::FailureCause::kPlanRefused}).ok());
  ASSERT_TRUE(JobIs("label", v1::JOB_STATE_FAILED));
  EXPECT_THAT(JobNamed("label").failure(), ::testing::HasSubstr("start the run again with labeling.plan as named"));
}

TEST_F(LeaseCluster, AFileOutsideTheJobsFoldersIsRefused) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto lease = labeler.Lease();
  ASSERT_TRUE(lease);
  for (const char* file : {"labels/other/one.npz", "labels/x/deep/one.npz", "labels/x/../../../one.npz", "one.npz",
                           "/labels/x/one.npz", "labels/x/"}) {
    const auto refused = labeler.CommitFile(*lease, file, "one");
    ASSERT_FALSE(refused) << file;
    EXPECT_EQ(refused.error().code(), StatusCode::kInvalidArgument) << file << ": " << refused.error().ToString();
  }
  EXPECT_TRUE(labeler.Commit(*lease, "one")) << "the lease is held still";
}

TEST_F(LeaseCluster, AResultThatIsNotOnSharedStorageIsRefused) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto lease = labeler.Lease();
  ASSERT_TRUE(lease);
  cluster_.world().run_files.file_size = 0;
  const auto refused = labeler.Commit(*lease, "one");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kDataLoss);
}

TEST_F(LeaseCluster, AFailedStoreAnswersNobodyAndEndsTheCoordinator) {
  StartLabelling();
  cluster_.world().log->fail_next = InternalError("sync failed").WithExitCode(exit_code::kStorageFailed);
  const auto registered = coordinator::Await<Result<coordinator::Registration>>([&](auto then) {
    cluster_.scheduler().Register({"labeler", "1", "avx2"}, std::move(then));
  });
  ASSERT_FALSE(registered);
  EXPECT_EQ(registered.error().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Eventually([&] { return !cluster_.store_failure().empty(); }));
  EXPECT_FALSE(coordinator::Await<Result<coordinator::RunView>>(
      [&](auto then) { cluster_.scheduler().View(run_id_, std::move(then)); }));
}

}  // namespace
}  // namespace ferment::testing
