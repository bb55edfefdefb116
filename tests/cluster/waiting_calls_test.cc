// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>

#include "bench/load_client.h"
#include "common/config/run_layout.h"
#include "tests/cluster/hanging_storage.h"
#include "tests/cluster/lease_cluster_fixture.h"

// Calls that wait long: for storage, for news, for a log to grow. None may hold up the others, nor a thread.
namespace ferment::testing {
namespace {

using namespace std::chrono_literals;

class WaitingCalls : public LeaseCluster {
 protected:
  /// Ends the run that StartRun began.
  void CancelRun() {
    v1::CancelRunRequest cancel;
    cancel.set_run_id(run_id_);
    ASSERT_TRUE(rpc::CallUnary(*runs_, &v1::RunService::Stub::CancelRun, cancel));
    cluster_.world().launcher.Exit("teacher/1", 143);
  }
};

std::size_t ThreadsOfThisProcess() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator()));
}

/// A client of a watch that holds no thread either.
class Follower final : public grpc::ClientReadReactor<v1::WatchRunResponse> {
 public:
  Follower(v1::RunService::Stub& runs, const std::string& run_id, std::latch& seen, std::latch& ended)
      : seen_(seen), ended_(ended) {
    request_.set_run_id(run_id);
    runs.async()->WatchRun(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void OnReadDone(bool got) override {
    if (!got) return;
    state_ = response_.run().state();
    if (++reads_ == 1) seen_.count_down();
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    ended_.count_down();
  }

  const grpc::Status& status() const { return status_; }
  v1::RunState state() const { return state_; }

 private:
  std::latch& seen_;
  std::latch& ended_;
  grpc::ClientContext context_;
  v1::WatchRunRequest request_;
  v1::WatchRunResponse response_;
  grpc::Status status_;
  v1::RunState state_ = v1::RUN_STATE_UNSPECIFIED;
  int reads_ = 0;
};

class Followers {
 public:
  Followers(const std::string& address, const std::string& run_id) {
    for (int i = 0; i < kMany; ++i) {
      // A connection has a hundred calls at a time.
      if (i % 100 == 0) runs_.push_back(v1::RunService::NewStub(bench::OpenOwnChannel(address, i)));
      followers_.push_back(std::make_unique<Follower>(*runs_.back(), run_id, seen_, ended_));
    }
  }
  void AwaitSeen() { seen_.wait(); }
  void AwaitEnded() { ended_.wait(); }
  const std::vector<std::unique_ptr<Follower>>& all() const { return followers_; }

 private:
  static constexpr int kMany = 300;

  std::latch seen_{kMany};
  std::latch ended_{kMany};
  std::vector<std::unique_ptr<v1::RunService::Stub>> runs_;
  std::vector<std::unique_ptr<Follower>> followers_;
};

TEST_F(WaitingCalls, StorageThatHangsHoldsUpACommitAndNoOtherCall) {
  StartLabelling();
  HangingStorage storage(cluster_.world().run_files);
  ScriptedLabeler one(cluster_.address(), "one");
  ScriptedLabeler other(cluster_.address(), "other");
  ASSERT_TRUE(one.Register().ok());
  ASSERT_TRUE(other.Register().ok());
  const auto lease = one.Lease();
  ASSERT_TRUE(lease) << lease.error().ToString();
  Result<bool> committed = Fail(InternalError("no answer yet"));
  std::jthread commit([&] { committed = one.Commit(*lease, "sha"); });
  storage.AwaitAsked();
  EXPECT_TRUE(one.Renew(lease->key()).ok());
  const auto more = other.Lease();
  ASSERT_TRUE(more) << more.error().ToString();
  EXPECT_TRUE(other.Return(more->key()).ok());
  EXPECT_EQ(JobNamed("label").shards().committed(), 0U);
  storage.Answer();
  commit.join();
  EXPECT_TRUE(committed) << committed.error().ToString();
  EXPECT_EQ(JobNamed("label").shards().committed(), 1U);
}

TEST_F(WaitingCalls, AStoppingCoordinatorAnswersTheCommitThatWaitsForStorage) {
  StartLabelling();
  HangingStorage storage(cluster_.world().run_files);
  ScriptedLabeler labeler(cluster_.address(), "labeler");
  ASSERT_TRUE(labeler.Register().ok());
  const auto lease = labeler.Lease();
  ASSERT_TRUE(lease) << lease.error().ToString();
  Result<bool> committed = Fail(InternalError("no answer yet"));
  std::jthread commit([&] { committed = labeler.Commit(*lease, "sha"); });
  storage.AwaitAsked();
  std::jthread stop([&] {
    cluster_.StopCoordinator();
    cluster_.world().run_files.before_file_size = nullptr;
    cluster_.StartCoordinator();
  });
  storage.Answer();
  stop.join();
  commit.join();
  EXPECT_TRUE(committed) << "made again, and taken: " << committed.error().ToString();
}

TEST_F(WaitingCalls, HundredsFollowARunAndHoldNoThread) {
  StartRun();
  const std::size_t before = ThreadsOfThisProcess();
  Followers followers(cluster_.address(), run_id_);
  followers.AwaitSeen();
  EXPECT_LT(ThreadsOfThisProcess(), before + 50);
  CancelRun();
  followers.AwaitEnded();
  for (const auto& follower : followers.all()) {
    EXPECT_TRUE(follower->status().ok()) << follower->status().error_message();
    EXPECT_EQ(follower->state(), v1::RUN_STATE_CANCELLED);
  }
}

TEST_F(WaitingCalls, AStoppingCoordinatorTellsAllWhoFollow) {
  StartRun();
  Followers followers(cluster_.address(), run_id_);
  followers.AwaitSeen();
  cluster_.StopCoordinator();
  followers.AwaitEnded();
  for (const auto& follower : followers.all()) {
    EXPECT_EQ(follower->status().error_code(), grpc::StatusCode::UNAVAILABLE) << follower->status().error_message();
  }
  cluster_.StartCoordinator();
}

TEST_F(WaitingCalls, WhoFollowsARunThatIsNotThereIsTold) {
  std::latch seen(1);
  std::latch ended(1);
  Follower follower(*runs_, "no-such-run", seen, ended);
  ended.wait();
  EXPECT_EQ(follower.status().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(WaitingCalls, ALogIsReadWholeAndFollowedUntilItsRunEnds) {
  const std::filesystem::path folder = ::testing::TempDir() + "/waiting_calls_log";
  std::filesystem::remove_all(folder);
  StartRun(folder.string());
  const std::filesystem::path file = RunLayout(folder).Log("teacher");
  std::filesystem::create_directories(file.parent_path());
  // Several answers of at most 64 KiB.
  std::string written(200'000, 'a');
  std::ofstream(file) << written;
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_run_id(run_id_);
  request.set_job_id("teacher");
  request.set_follow(true);
  const auto reader = runs_->ReadLog(&context, request);
  v1::ReadLogResponse response;
  std::string read;
  while (read.size() < written.size() && reader->Read(&response)) read += response.text();
  EXPECT_EQ(response.next_offset(), written.size());
  std::ofstream(file, std::ios::app) << "the end";
  written += "the end";
  CancelRun();
  while (reader->Read(&response)) read += response.text();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(read, written);
}

TEST_F(WaitingCalls, AWatchEndsWithTheRunAndShowsItsLastState) {
  StartLabelling();
  grpc::ClientContext context;
  v1::WatchRunRequest request;
  request.set_run_id(run_id_);
  const auto reader = runs_->WatchRun(&context, request);
  v1::WatchRunResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.run().state(), v1::RUN_STATE_RUNNING);
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run_id_);
  ASSERT_TRUE(rpc::CallUnary(*runs_, &v1::RunService::Stub::CancelRun, cancel));
  while (reader->Read(&response)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(response.run().state(), v1::RUN_STATE_CANCELLED);
}

}  // namespace
}  // namespace ferment::testing
