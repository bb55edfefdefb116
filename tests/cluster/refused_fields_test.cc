// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "tests/cluster/lease_cluster_fixture.h"
#include "tests/support/refused_field.h"

namespace ferment::testing {
namespace {

class RefusedFields : public ::testing::Test {
 protected:
  static v1::SubmitRunRequest Submission() {
    v1::SubmitRunRequest request;
    *request.mutable_spec() = SmallSpec();
    request.set_run_dir("/runs/small");
    return request;
  }
  /// Returns: the field for which this is refused.
  std::string Submit(const v1::SubmitRunRequest& request) {
    v1::SubmitRunResponse response;
    return Field([&](grpc::ClientContext& context) { return runs_->SubmitRun(&context, request, &response); });
  }
  std::string Update(const v1::UpdateRunRequest& request) {
    v1::UpdateRunResponse response;
    return Field([&](grpc::ClientContext& context) { return runs_->UpdateRun(&context, request, &response); });
  }
  std::string Cancel(const v1::CancelRunRequest& request) {
    v1::CancelRunResponse response;
    return Field([&](grpc::ClientContext& context) { return runs_->CancelRun(&context, request, &response); });
  }
  std::string Field(const std::function<grpc::Status(grpc::ClientContext&)>& call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return RefusedField(call(context));
  }

  InProcessCluster cluster_;
  const std::shared_ptr<grpc::Channel> channel_ = rpc::OpenChannel(cluster_.address());
  const std::unique_ptr<v1::RunService::Stub> runs_ = v1::RunService::NewStub(channel_);
  const std::unique_ptr<v1::LeaseService::Stub> leases_ = v1::LeaseService::NewStub(channel_);
};

TEST_F(RefusedFields, OfASubmission) {
  v1::SubmitRunRequest request = Submission();
  request.set_run_dir("runs/small");
  EXPECT_EQ(Submit(request), "run_dir");
  request.set_run_dir(std::string("/runs/small\0er", 14));
  EXPECT_EQ(Submit(request), "run_dir");
  request = Submission();
  request.set_priority(101);
  EXPECT_EQ(Submit(request), "priority");
  request = Submission();
  request.mutable_spec()->clear_teacher();
  EXPECT_EQ(Submit(request), "spec") << "what only the scheduler looks for";
  request.mutable_spec()->mutable_labeling()->set_tau(0);
  EXPECT_EQ(Submit(request), "spec");
  EXPECT_EQ(Submit(Submission()), "") << "it is taken";
}

TEST_F(RefusedFields, OfAChange) {
  ASSERT_EQ(Submit(Submission()), "");
  v1::SubmitRunRequest other = Submission();
  other.set_run_dir("/runs/other");
  ASSERT_EQ(Submit(other), "");
  v1::UpdateRunRequest request;
  request.set_run_id("small-1");
  request.set_request_id("change");
  EXPECT_EQ(Update(request), "suspended");
  request.set_priority(-101);
  EXPECT_EQ(Update(request), "priority");
  request.set_priority(-100);
  EXPECT_EQ(Update(request), "") << "it is done";
  request.set_run_id("small-2");
  EXPECT_EQ(Update(request), "request_id") << "another run's";
  v1::CancelRunRequest cancel;
  cancel.set_run_id("small-2");
  cancel.set_request_id("change");
  EXPECT_EQ(Cancel(cancel), "request_id");
}

TEST_F(RefusedFields, OfARequestThatSaysTooMuch) {
  v1::CancelRunRequest cancel;
  cancel.set_run_id("small-1");
  cancel.set_request_id(std::string(3'000, 'x'));
  EXPECT_EQ(Cancel(cancel), "request_id");
  cancel.set_request_id("x");
  cancel.GetReflection()->MutableUnknownFields(&cancel)->AddLengthDelimited(999, std::string(3'000, 'x'));
  EXPECT_EQ(Cancel(cancel), "") << "of a later version's field nothing is known";
  v1::WatchRunRequest watch;
  watch.set_run_id(std::string(3'000, 'x'));
  v1::WatchRunResponse response;
  EXPECT_EQ(Field([&](grpc::ClientContext& context) {
              const auto reader = runs_->WatchRun(&context, watch);
              EXPECT_FALSE(reader->Read(&response));
              return reader->Finish();
            }),
            "run_id");
  v1::FailShardRequest fail;
  fail.set_request_id(std::string(1'025, 'x'));
  v1::FailShardResponse failed;
  EXPECT_EQ(Field([&](grpc::ClientContext& context) { return leases_->FailShard(&context, fail, &failed); }),
            "request_id");
}

}  // namespace
}  // namespace ferment::testing
