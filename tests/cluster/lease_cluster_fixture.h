// SPDX-License-Identifier: Apache-2.0
//
// A coordinator on loopback whose run has come to labelling.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "labeler/lease_client.h"
#include "tests/support/in_process_cluster.h"

namespace ferment::testing {

/// Asks again until it is so; every question goes over the wire or through the scheduler's queue.
inline bool Eventually(const std::function<bool()>& so) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    if (so()) return true;
  }
  return false;
}

/// Returns: what is committed of a shard all of whose records are of the first class.
inline labeler::ShardResult ResultOf(const labeler::Lease& lease) {
  const auto& task = std::get<labeler::LabelTask>(lease.work);
  labeler::ShardResult result;
  result.files = {{task.teacher.output_dir / "one.npz", "sha"}};
  result.counts = {task.record_count, task.record_count, 0, 0, {task.record_count}};
  return result;
}

class LeaseCluster : public ::testing::Test {
 protected:
  LeaseCluster()
      : channel_(rpc::OpenChannel(cluster_.address())),
        runs_(v1::RunService::NewStub(channel_)),
        trainers_(v1::TrainerService::NewStub(channel_)) {}

  v1::RunStatus Status() {
    v1::GetRunRequest request;
    request.set_run_id(run_id_);
    const auto response =
        rpc::CallUnary(*runs_, &v1::RunService::Stub::GetRun, request,
                       {.retry_for = std::chrono::seconds(20), .first_pause = std::chrono::milliseconds(5)});
    return response ? response->run() : v1::RunStatus();
  }
  v1::JobStatus JobNamed(const std::string& job_id) {
    const v1::RunStatus status = Status();
    for (const v1::JobStatus& job : status.jobs()) {
      if (job.job_id() == job_id) return job;
    }
    return {};
  }
  bool JobIs(const std::string& job_id, v1::JobState state) {
    return Eventually([&] { return JobNamed(job_id).state() == state; });
  }

  /// Submits; the teacher's trainer has been started.
  void StartRun(const std::string& run_dir = "/runs/small") {
    v1::SubmitRunRequest submit;
    submit.set_request_id("submit");
    *submit.mutable_spec() = spec_;
    submit.set_run_dir(run_dir);
    const auto response = rpc::CallUnary(*runs_, &v1::RunService::Stub::SubmitRun, submit);
    ASSERT_TRUE(response) << response.error().ToString();
    run_id_ = response->run_id();
    ASSERT_TRUE(JobIs("teacher", v1::JOB_STATE_RUNNING));
  }

  /// Submits, and plays the teacher's trainer over the wire.
  void StartLabelling() {
    StartRun();
    v1::AcquireRunTokenRequest acquire;
    acquire.set_run_id(run_id_);
    acquire.set_job_id("teacher");
    acquire.set_attempt(1);
    acquire.set_incarnation("i");
    acquire.set_run_dir("/runs/small");
    const auto token = rpc::CallUnary(*trainers_, &v1::TrainerService::Stub::AcquireRunToken, acquire);
    ASSERT_TRUE(token) << token.error().ToString();
    v1::CompleteJobRequest complete;
    complete.set_run_id(run_id_);
    complete.set_job_id("teacher");
    complete.set_token(token->token());
    complete.add_models()->set_role("teacher");
    ASSERT_TRUE(rpc::CallUnary(*trainers_, &v1::TrainerService::Stub::CompleteJob, complete));
    ASSERT_TRUE(Eventually([&] { return !cluster_.world().launcher.launched().empty(); }));
    cluster_.world().launcher.Exit("teacher/1", 0);
    ASSERT_TRUE(JobIs("label", v1::JOB_STATE_RUNNING));
  }

  /// What StartRun submits.
  RunSpec spec_ = SmallSpec();
  InProcessCluster cluster_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RunService::Stub> runs_;
  std::unique_ptr<v1::TrainerService::Stub> trainers_;
  std::string run_id_;
};

}  // namespace ferment::testing
