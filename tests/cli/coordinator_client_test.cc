// SPDX-License-Identifier: Apache-2.0
#include "cli/coordinator_client.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cli/command.h"
#include "tests/support/in_process_cluster.h"

namespace ferment::cli {
namespace {

class CoordinatorClientTest : public ::testing::Test {
 protected:
  v1::SubmitRunRequest Request() const {
    v1::SubmitRunRequest request;
    request.set_run_dir("/runs/again");
    *request.mutable_spec() = ferment::testing::SmallSpec();
    return request;
  }
  /// The attempt's trainer leaves once it is told to, as a real one does.
  v1::RunState EndOf(const std::string& run_id, int attempt) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto run = client_.Get(run_id);
      if (run && !IsUnfinished(*run)) return run->state();
      if (cluster_.world().launcher.signals().size() >= static_cast<std::size_t>(attempt)) {
        cluster_.world().launcher.Exit("teacher/" + std::to_string(attempt), exit_code::kTerminated);
      }
      std::this_thread::yield();
    }
    return v1::RUN_STATE_RUNNING;
  }
  bool Launched(std::size_t times) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (cluster_.world().launcher.launched().size() < times && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    return cluster_.world().launcher.launched().size() >= times;
  }

  /// Types a command of `ferment`. Returns: its exit code.
  int Type(std::vector<const char*> words) {
    words.insert(words.begin(), "ferment");
    words.insert(words.end(), {"--coordinator", cluster_.address().c_str()});
    return RunCommandLine(static_cast<int>(words.size()), words.data());
  }

  ferment::testing::InProcessCluster cluster_;
  CoordinatorClient client_{cluster_.address(), std::chrono::seconds(30)};
};

TEST_F(CoordinatorClientTest, WhatIsSubmittedAgainIsOpenedAndCancelledAgainEachTime) {
  for (int attempt = 1; attempt <= 3; ++attempt) {
    const auto run_id = client_.SubmitOrReopen(Request());
    ASSERT_TRUE(run_id) << run_id.error().ToString();
    EXPECT_EQ(*run_id, "small-1");
    ASSERT_TRUE(Launched(static_cast<std::size_t>(attempt))) << "attempt=" << attempt << ": it was not opened";
    ASSERT_TRUE(client_.Cancel(*run_id).ok());
    EXPECT_EQ(EndOf(*run_id, attempt), v1::RUN_STATE_CANCELLED) << "attempt=" << attempt << ": the cancel did nothing";
  }
}

TEST_F(CoordinatorClientTest, WhatIsStillEndingWhenItIsSubmittedAgainIsOpenedAnewOnceItHasEnded) {
  const auto run_id = client_.SubmitOrReopen(Request());
  ASSERT_TRUE(run_id && Launched(1));
  ASSERT_TRUE(client_.Cancel(*run_id).ok());
  ASSERT_TRUE(client_.Get(*run_id)->ending());
  std::jthread trainer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    cluster_.world().launcher.Exit("teacher/1", exit_code::kTerminated);
  });
  EXPECT_EQ(*client_.SubmitOrReopen(Request()), *run_id);
  EXPECT_TRUE(Launched(2));
  EXPECT_FALSE(client_.Get(*run_id)->ending());
}

TEST_F(CoordinatorClientTest, CommandsSayThatARunHasEndedAndThatNothingWasChanged) {
  ASSERT_TRUE(client_.SubmitOrReopen(Request()));
  ASSERT_TRUE(Launched(1));
  EXPECT_EQ(Type({"rollback", "small-1"}), exit_code::kNotAllowed) << "no teacher to go back to";
  cluster_.world().launcher.Exit("teacher/1", exit_code::kBadData);
  ASSERT_EQ(EndOf("small-1", 2), v1::RUN_STATE_FAILED);

  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Type({"cancel", "small-1"}), 0);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::EndsWith("nothing to cancel: small-1 has failed\n"));
  EXPECT_EQ(client_.Get("small-1")->state(), v1::RUN_STATE_FAILED);
  EXPECT_EQ(Type({"suspend", "small-1"}), exit_code::kNotAllowed);
  EXPECT_EQ(Type({"resume", "small-1"}), exit_code::kNotAllowed);
  EXPECT_EQ(Type({"prioritize", "small-1", "3"}), exit_code::kNotAllowed);
  EXPECT_EQ(Type({"rollback", "small-1"}), exit_code::kNotAllowed);
}

TEST_F(CoordinatorClientTest, ASecondCommandFindsTheRunThatGoesOn) {
  const auto first = client_.SubmitOrReopen(Request());
  const auto second = client_.SubmitOrReopen(Request());
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
  ASSERT_TRUE(Launched(1));
  EXPECT_EQ(cluster_.world().launcher.launched().size(), 1U);
}

/// Ends each stream as a server does that is shut down, but the last.
class LeavingCoordinator : public v1::RunService::Service {
 public:
  grpc::Status WatchRun(grpc::ServerContext*, const v1::WatchRunRequest*,
                        grpc::ServerWriter<v1::WatchRunResponse>* writer) override {
    v1::WatchRunResponse response;
    response.mutable_run()->set_state(++watched < 3 ? v1::RUN_STATE_RUNNING : v1::RUN_STATE_SUCCEEDED);
    writer->Write(response);
    return watched < 3 ? grpc::Status::CANCELLED : grpc::Status::OK;
  }
  std::atomic<int> watched = 0;
};

TEST(CoordinatorClient, GoesOnWatchingWhereACoordinatorLeftInTheMiddle) {
  LeavingCoordinator service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  CoordinatorClient client("127.0.0.1:" + std::to_string(port), std::chrono::seconds(30));
  const auto run = client.Watch("small-1", [](const v1::RunStatus&) {});
  ASSERT_TRUE(run) << run.error().ToString();
  EXPECT_EQ(run->state(), v1::RUN_STATE_SUCCEEDED);
  EXPECT_EQ(service.watched, 3);

  service.watched = 0;
  CoordinatorClient hasty("127.0.0.1:" + std::to_string(port), std::chrono::seconds(0));
  const auto lost = hasty.Watch("small-1", [](const v1::RunStatus&) {});
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code(), StatusCode::kUnavailable) << lost.error().ToString();

  service.watched = 0;
  const auto waited_for = hasty.Watch(
      "small-1", [](const v1::RunStatus&) {}, std::chrono::seconds(30));
  EXPECT_TRUE(waited_for) << "an outage after the run was seen has a patience of its own";
}

}  // namespace
}  // namespace ferment::cli
