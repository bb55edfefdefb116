// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <latch>
#include <optional>
#include <thread>

#include "coordinator/rpc/unary_call.h"
#include "tests/cluster/lease_cluster_fixture.h"

// Calls whose clients are gone when their turn comes.
namespace ferment::testing {
namespace {

using namespace std::chrono_literals;
using coordinator::LeaseAnswer;
using LeaseThen = coordinator::Then<Result<LeaseAnswer>>;

/// Keeps the one call that it gets, as a queue does.
class KeepingService final : public v1::LeaseService::CallbackService {
 public:
  grpc::ServerUnaryReactor* LeaseShards(grpc::CallbackServerContext* context, const v1::LeaseShardsRequest*,
                                        v1::LeaseShardsResponse*) override {
    kept_ = coordinator::UnaryCall(*context, nullptr).Answer<LeaseAnswer>([](const LeaseAnswer&) {});
    came_.count_down();
    return context->DefaultReactor();
  }
  LeaseThen& Kept() {
    came_.wait();
    return *kept_;
  }

 private:
  std::latch came_{1};
  std::optional<LeaseThen> kept_;
};

class GivenUpCalls : public LeaseCluster {
 protected:
  GivenUpCalls() {
    const std::array<grpc::Service*, 1> services = {&service_};
    auto server = rpc::GrpcServer::Start({}, services);
    EXPECT_TRUE(server);
    server_ = std::move(*server);
  }
  ~GivenUpCalls() override { server_->Shutdown(0ms); }

  /// Makes the call; its outcome is client_status_ once `client` has ended.
  std::jthread Call() {
    return std::jthread([this] {
      const auto stub = v1::LeaseService::NewStub(rpc::OpenChannel(server_->address()));
      v1::LeaseShardsResponse response;
      client_status_ = stub->LeaseShards(&context_, {}, &response);
    });
  }
  Result<LeaseAnswer> Ask(const coordinator::LeaseRequest& request) {
    return coordinator::Await<Result<LeaseAnswer>>(
        [&](LeaseThen then) { cluster_.scheduler().Lease(request, std::move(then)); });
  }

  KeepingService service_;
  std::unique_ptr<rpc::GrpcServer> server_;
  grpc::ClientContext context_;
  grpc::Status client_status_;
};

TEST_F(GivenUpCalls, ALeaseThatItsClientCancelledIsGrantedToNobodyAndTheNextCallGetsIt) {
  cluster_.world().run_files.label_shards = 1;
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  std::jthread client = Call();
  LeaseThen& kept = service_.Kept();
  EXPECT_FALSE(kept.given_up());
  context_.TryCancel();
  ASSERT_TRUE(Eventually(kept.given_up));
  const coordinator::LeaseRequest request{labeler.labeler_id(), 1, 1};
  cluster_.scheduler().Lease(request, kept);
  client.join();
  EXPECT_EQ(client_status_.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(JobNamed("label").shards().leased(), 0U);
  EXPECT_EQ(cluster_.metrics().abandoned.Value(), 1);
  const auto again = Ask(request);
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->leases.size(), 1U);
}

TEST_F(GivenUpCalls, ACommitOfOneWhoHasGoneIsTakenAndGrantsNothing) {
  StartLabelling();
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto leased = Ask({labeler.labeler_id(), 1, 1});
  ASSERT_TRUE(leased) << leased.error().ToString();
  const coordinator::GrantedLease& lease = leased->leases.at(0);
  coordinator::ShardResult result;
  result.request_id = "commit";
  result.key = lease.key;
  result.files = {{lease.job->work.models.at(0).output_dir + "/sha.npz", "sha"}};
  result.counts.read = lease.shard.record_count;
  result.counts.labelled = lease.shard.record_count;
  using Answer = Result<coordinator::Scheduler::CommitAnswer>;
  const auto committed = coordinator::Await<Answer>([&](coordinator::Then<Answer> then) {
    then.given_up = [] { return true; };
    cluster_.scheduler().Commit("", result, coordinator::LeaseRequest{labeler.labeler_id(), 1, 2}, std::move(then));
  });
  ASSERT_TRUE(committed) << committed.error().ToString();
  EXPECT_TRUE(committed->next.leases.empty());
  EXPECT_EQ(JobNamed("label").shards().committed(), 1U);
  EXPECT_EQ(JobNamed("label").shards().leased(), 0U);
}

TEST_F(GivenUpCalls, ACallPastItsDeadlineIsKnownToBe) {
  context_.set_deadline(std::chrono::system_clock::now() + 200ms);
  std::jthread client = Call();
  LeaseThen& kept = service_.Kept();
  ASSERT_TRUE(Eventually(kept.given_up));
  kept.tell(Fail(CancelledError("")));
  client.join();
  EXPECT_EQ(client_status_.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

}  // namespace
}  // namespace ferment::testing
