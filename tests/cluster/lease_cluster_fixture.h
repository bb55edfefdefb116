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

/// Submits a small run, and plays its teacher's trainer over the wire. Returns: the run, which labels then; "" where
/// something fails.
inline std::string BringToLabelling(InProcessCluster& cluster, v1::RunService::Stub& submitter,
                                    v1::TrainerService::Stub& trainer, const RunSpec& spec = SmallSpec()) {
  v1::SubmitRunRequest submit;
  submit.set_request_id("submit");
  *submit.mutable_spec() = spec;
  submit.set_run_dir("/runs/small");
  // Of a coordinator's former life some may be there.
  const std::size_t before = cluster.world().launcher.launched().size();
  const auto run = rpc::CallUnary(submitter, &v1::RunService::Stub::SubmitRun, submit);
  if (!run || !Eventually([&] { return cluster.world().launcher.launched().size() > before; })) return "";
  v1::AcquireRunTokenRequest acquire;
  acquire.set_run_id(run->run_id());
  acquire.set_job_id("teacher");
  acquire.set_attempt(1);
  acquire.set_incarnation("i");
  acquire.set_run_dir("/runs/small");
  const auto token = rpc::CallUnary(trainer, &v1::TrainerService::Stub::AcquireRunToken, acquire);
  v1::CompleteJobRequest complete;
  complete.set_run_id(run->run_id());
  complete.set_job_id("teacher");
  if (token) complete.set_token(token->token());
  complete.add_models()->set_role("teacher");
  if (!token || !rpc::CallUnary(trainer, &v1::TrainerService::Stub::CompleteJob, complete)) return "";
  cluster.world().launcher.Exit("teacher/1", 0);
  return run->run_id();
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

  void StartLabelling() {
    run_id_ = BringToLabelling(cluster_, *runs_, *trainers_, spec_);
    ASSERT_NE(run_id_, "");
    ASSERT_TRUE(JobIs("label", v1::JOB_STATE_RUNNING));
  }

  /// What StartLabelling submits.
  RunSpec spec_ = SmallSpec();
  InProcessCluster cluster_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RunService::Stub> runs_;
  std::unique_ptr<v1::TrainerService::Stub> trainers_;
  std::string run_id_;
};

}  // namespace ferment::testing
