// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>

#include "ferment/v1/trainer_service.grpc.pb.h"
#include "tests/cluster/lease_cluster_fixture.h"
#include "worker/grpc_run_client.h"

namespace ferment::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Gives the token and does not answer the first reports.
class ForgetfulService : public v1::TrainerService::Service {
 public:
  grpc::Status AcquireRunToken(grpc::ServerContext*, const v1::AcquireRunTokenRequest* request,
                               v1::AcquireRunTokenResponse* response) override {
    asked = *request;
    response->set_token(7);
    return grpc::Status::OK;
  }
  grpc::Status ReportProgress(grpc::ServerContext*, const v1::ReportProgressRequest* request,
                              v1::ReportProgressResponse*) override {
    if (reports++ == 0) return {grpc::StatusCode::UNAVAILABLE, "going"};
    last_step = request->step();
    return grpc::Status::OK;
  }

  /// Read once the client has its token.
  v1::AcquireRunTokenRequest asked;
  std::atomic<int> reports = 0;
  std::atomic<std::uint64_t> last_step = 0;
};

TEST(RunClient, ALastReportThatWasLostIsSentAgainAndNotMoreOftenThanNeeded) {
  ForgetfulService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ::testing::internal::CaptureStderr();
  {
    const auto client = worker::MakeGrpcRunClient({.coordinator = "127.0.0.1:" + std::to_string(port),
                                                   .run_id = "run",
                                                   .job_id = "teacher",
                                                   .run_dir = "/runs/one"});
    ASSERT_TRUE(client->Acquire().ok());
    EXPECT_EQ(service.asked.run_dir(), "/runs/one");
    worker::JobProgress progress;
    progress.step = progress.total_steps = 10;
    client->Report(progress);
    EXPECT_TRUE(Eventually([&] { return service.last_step == 10; }));
  }
  EXPECT_EQ(service.reports, 2);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("progress_not_reported"));
}

TEST(RunClient, ACoordinatorThatDoesNotAnswerIsToldWhileItIsWaitedFor) {
  ::testing::internal::CaptureStderr();
  const auto client = worker::MakeGrpcRunClient(
      {.coordinator = "127.0.0.1:1", .run_id = "run", .job_id = "teacher", .patience = std::chrono::seconds(1)});
  EXPECT_EQ(client->Acquire().code(), StatusCode::kUnavailable);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("coordinator_does_not_answer"), HasSubstr("127.0.0.1:1"), HasSubstr("again for 1 s")));
}

TEST(RunClient, WhoeverIsToEndDoesNotWaitForACoordinatorThatDoesNotAnswer) {
  std::atomic<bool> leaving = false;
  const auto client = worker::MakeGrpcRunClient({.coordinator = "127.0.0.1:1",
                                                 .run_id = "run",
                                                 .job_id = "teacher",
                                                 .patience = std::chrono::minutes(10),
                                                 .leaving = [&leaving] { return leaving.exchange(true); }});
  for (const auto& ask : {std::function([&] { return client->Acquire(); }),
                          std::function([&] { return client->Complete(worker::JobResult()); })}) {
    leaving = false;
    const Status status = ask();
    EXPECT_EQ(status.code(), StatusCode::kCancelled);
    EXPECT_EQ(ProcessExitCode(status), exit_code::kTerminated) << status.ToString();
  }
}

}  // namespace
}  // namespace ferment::testing
