// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <latch>
#include <memory>
#include <string>
#include <vector>

#include "bench/load_client.h"
#include "common/rpc/grpc_status.h"
#include "tests/cluster/hanging_storage.h"
#include "tests/cluster/lease_cluster_fixture.h"
#include "tests/support/process_resources.h"

// What waits is bounded by what it holds, not by its number alone.
namespace ferment::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A sanitizer keeps what was freed, and notes beside it.
constexpr double kTimesAsMuch = 8;
#else
constexpr double kTimesAsMuch = 1;
#endif
constexpr double kMostMib = 512 * kTimesAsMuch;

/// The same commit, these bytes, many times at once.
class Commits {
 public:
  Commits(const std::string& address, const std::string& bytes, int count) : ended_(count) {
    const grpc::Slice slice(bytes);
    request_ = grpc::ByteBuffer(&slice, 1);
    for (int i = 0; i < count; ++i) {
      if (i % 100 == 0) stubs_.push_back(std::make_unique<grpc::GenericStub>(bench::OpenOwnChannel(address, i)));
      Call& call = *calls_.emplace_back(std::make_unique<Call>());
      stubs_.back()->UnaryCall(&call.context, "/ferment.v1.LeaseService/CommitShard", {}, &request_, &call.response,
                               [this, &call](grpc::Status status) {
                                 call.status = std::move(status);
                                 if (call.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) ++refused_;
                                 ended_.count_down();
                               });
    }
  }
  int refused() const { return refused_; }
  std::vector<grpc::Status> Await() {
    ended_.wait();
    std::vector<grpc::Status> all;
    for (const auto& call : calls_) all.push_back(call->status);
    return all;
  }

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer response;
    grpc::Status status;
  };
  std::latch ended_;
  std::atomic<int> refused_ = 0;
  grpc::ByteBuffer request_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  std::vector<std::unique_ptr<Call>> calls_;
};

class WaitingBytes : public LeaseCluster {
 protected:
  WaitingBytes() : leases_(v1::LeaseService::NewStub(channel_)) {}

  /// Of the run, and of so many bytes: files without a name are two bytes there and 32 times as much here.
  v1::CommitShardRequest CommitOf(std::size_t bytes) {
    v1::CommitShardRequest request;
    request.mutable_key()->set_run_id(run_id_);
    request.mutable_key()->set_job_id("label");
    while (request.ByteSizeLong() + 2 <= bytes) {
      const std::size_t more = (bytes - request.ByteSizeLong()) / 2;
      for (std::size_t i = 0; i < more; ++i) request.add_files();
    }
    return request;
  }

  std::unique_ptr<v1::LeaseService::Stub> leases_;
};

TEST_F(WaitingBytes, CommitsThatWaitForStorageAreNoLargerTogetherThanTheyMay) {
  StartLabelling();
  HangingStorage storage(cluster_.world().run_files);
  const std::string largest = CommitOf(64 << 10).SerializeAsString();
  constexpr int kMany = 400;
  // Three quarters of 4 MiB.
  constexpr int kFit = 48;
  Commits commits(cluster_.address(), largest, kMany);
  storage.AwaitAsked();
  EXPECT_TRUE(Eventually([&] { return commits.refused() == kMany - kFit; })) << commits.refused();
  EXPECT_EQ(Status().run_id(), run_id_) << "a lookup, for which a quarter is left";
  storage.Answer();
  for (const grpc::Status& status : commits.Await()) {
    EXPECT_FALSE(status.ok());
    if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) continue;
    EXPECT_TRUE(rpc::RetryDelayOf(status)) << status.error_message();
  }
  EXPECT_THAT(cluster_.Exposition(),
              HasSubstr("ferment_admission_rejected_total{reason=\"bytes\"} " + std::to_string(kMany - kFit)));
  const double peak_mib = ReadResources(getpid())->peak_rss_mib;
  std::cout << "waiting=" << kFit << " peak_rss_mib=" << peak_mib << std::endl;
  EXPECT_LT(peak_mib, kMostMib);
  Commits again(cluster_.address(), largest, kFit);
  for (const grpc::Status& status : again.Await()) {
    EXPECT_NE(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << "those before left their room";
  }
}

TEST_F(WaitingBytes, WhatReadingARequestTookIsFreedWhileItWaits) {
  StartLabelling();
  HangingStorage storage(cluster_.world().run_files);
  v1::CommitShardRequest long_id;
  long_id.set_labeler_id(std::string(600 << 10, 'x'));
  v1::CommitShardRequest no_id = CommitOf((4 << 10) - 2);
  // Of a field that comes twice the last counts, and the room of the first is kept.
  const std::string twice = long_id.SerializeAsString() + std::string("\x12\0", 2) + no_id.SerializeAsString();
  constexpr int kFit = 768;
  constexpr int kMore = 64;
  Commits commits(cluster_.address(), twice, kFit + kMore);
  storage.AwaitAsked();
  EXPECT_TRUE(Eventually([&] { return commits.refused() >= kMore; })) << commits.refused();
  const double held_mib = ReadResources(getpid())->rss_mib;
  // What was read is 450 MiB, beside what else there is.
  EXPECT_LT(held_mib, 450 * kTimesAsMuch);
  std::cout << "waiting=" << kFit << " rss_mib=" << held_mib << std::endl;
  storage.Answer();
  (void)commits.Await();
}

TEST_F(WaitingBytes, ARequestThatIsTooLargeIsToldTheFieldItsSizeAndTheLimit) {
  StartLabelling();
  v1::CommitShardRequest request = CommitOf(60'000);
  request.mutable_reasons()->insert({std::string(6'000, 'x'), 1});
  const auto refused = rpc::CallUnary(*leases_, &v1::LeaseService::Stub::CommitShard, request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(refused.error().message()),
      AllOf(HasSubstr("message=CommitShardRequest"), HasSubstr("limit=65536"), HasSubstr("largest_field=files")));
}

TEST_F(WaitingBytes, AStreamsRequestIsBoundedToo) {
  grpc::ClientContext watching;
  v1::WatchRunRequest watch;
  watch.set_run_id(std::string(2'000, 'x'));
  const auto watched = runs_->WatchRun(&watching, watch)->Finish();
  EXPECT_EQ(watched.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << watched.error_message();
  grpc::ClientContext reading;
  v1::ReadLogRequest read;
  read.set_job_id(std::string(2'000, 'x'));
  const auto log = runs_->ReadLog(&reading, read)->Finish();
  EXPECT_EQ(log.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << log.error_message();
}

TEST_F(WaitingBytes, ATrainerOfAsManyRanksAsASpecMayNameReportsThemAll) {
  v1::ReportProgressRequest report;
  report.set_run_id("no-such-run");
  report.mutable_rank_idle_seconds()->Resize(65'536, 1.5);
  for (int i = 0; i < 200; ++i) (*report.mutable_metrics())["metric_number_" + std::to_string(i)] = i;
  const auto answer = rpc::CallUnary(*trainers_, &v1::TrainerService::Stub::ReportProgress, report);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), StatusCode::kAborted) << answer.error().ToString();
}

}  // namespace
}  // namespace ferment::testing
