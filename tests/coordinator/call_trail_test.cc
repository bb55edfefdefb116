// SPDX-License-Identifier: Apache-2.0
#include "coordinator/call_trail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "common/metrics/prometheus_registry.h"
#include "coordinator/rpc/stream_places.h"
#include "ferment/v1/lease_service.pb.h"
#include "ferment/v1/run_service.pb.h"
#include "ferment/v1/trainer_service.pb.h"

namespace ferment::coordinator {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CallTrailTest : public ::testing::Test {
 protected:
  CallTrailTest() {
    fs::remove(file_);
    // The descriptors are there where their messages are used.
    (void)v1::RunStatus::descriptor();
    (void)v1::LeaseKey::descriptor();
    (void)v1::FailJobRequest::descriptor();
    const char* const services[] = {"ferment.v1.RunService", "ferment.v1.LeaseService", "ferment.v1.TrainerService"};
    policy_ = rpc::AccessPolicy::Read(services).value();
    auto audit = io::AuditLog::Open(file_, SystemClock()).value();
    audit_ = audit.get();
    trail_ = std::make_unique<CallTrail>(policy_, *registry_, std::move(audit),
                                         [this](const Status& failure) { failure_ = failure; });
  }
  static rpc::CallRecord Record(const std::string& method, bool audited, Status outcome = {}) {
    rpc::CallRecord record;
    record.method = "ferment.v1.RunService/" + method;
    record.who = "ann";
    record.audited = audited;
    record.outcome = std::move(outcome);
    return record;
  }

  const fs::path file_ = fs::path(::testing::TempDir()) / "call_trail.jsonl";
  const std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  rpc::AccessPolicy policy_;
  io::AuditLog* audit_ = nullptr;
  std::unique_ptr<CallTrail> trail_;
  Status failure_;
};

TEST_F(CallTrailTest, CountsCallsByMethodAndCodeFromZeroOn) {
  EXPECT_THAT(
      registry_->Exposition(),
      HasSubstr(R"(ferment_rpc_server_handled_total{code="OK",method="ferment.v1.LeaseService/CommitShard"} 0)"));
  trail_->Take(Record("GetRun", false));
  trail_->Take(Record("GetRun", false, NotFoundError("no such run")));
  const std::string text = registry_->Exposition();
  EXPECT_THAT(text,
              HasSubstr(R"(ferment_rpc_server_handled_total{code="OK",method="ferment.v1.RunService/GetRun"} 1)"));
  EXPECT_THAT(
      text, HasSubstr(R"(ferment_rpc_server_handled_total{code="NOT_FOUND",method="ferment.v1.RunService/GetRun"} 1)"));
  EXPECT_THAT(text, HasSubstr("ferment_rpc_server_duration_seconds_count 2"));
}

TEST_F(CallTrailTest, WritesDownWhatIsAuditedAndWhatIsRefused) {
  trail_->Take(Record("SubmitRun", true));
  trail_->Take(Record("GetRun", false));
  rpc::CallRecord refused = Record("GetRun", false, PermissionDeniedError("not permitted"));
  refused.refused = true;
  trail_->Take(refused);
  EXPECT_EQ(audit_->summary().lines, 2U);
  refused.flooding = true;
  trail_->Take(refused);
  EXPECT_EQ(audit_->summary().lines, 2U) << "one of a flood is only counted";
  EXPECT_THAT(
      registry_->Exposition(),
      HasSubstr(
          R"(ferment_rpc_server_handled_total{code="PERMISSION_DENIED",method="ferment.v1.RunService/GetRun"} 2)"));
}

TEST_F(CallTrailTest, CountsConnectionsAndThoseThatWereRefused) {
  trail_->Take(rpc::ConnectionCounts{.open = 7, .refused_full = 2, .refused_peer = 1});
  trail_->Take(rpc::ConnectionCounts{.open = 3, .refused_full = 5, .refused_peer = 1});
  const std::string text = registry_->Exposition();
  EXPECT_THAT(text, HasSubstr("ferment_rpc_server_connections 3"));
  EXPECT_THAT(text, HasSubstr(R"(ferment_admission_rejected_total{reason="connections"} 5)"));
  EXPECT_THAT(text, HasSubstr(R"(ferment_admission_rejected_total{reason="connections_of_a_peer"} 1)"));
}

TEST(StreamPlaces, RefusesOneTooManyUntilOneIsGivenBack) {
  StreamPlaces places(2);
  auto first = places.Take();
  const auto second = places.Take();
  ASSERT_TRUE(first && second);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(places.Take().error().code(), StatusCode::kResourceExhausted);
  first->reset();
  EXPECT_TRUE(places.Take());
}

TEST_F(CallTrailTest, GoesOnInANewAuditLogOnceTheFormerWasMovedAway) {
  const fs::path former = file_.string() + ".1";
  trail_->Take(Record("SubmitRun", true));
  trail_->Rotate();
  EXPECT_EQ(audit_->summary().lines, 1U) << "it was not moved";
  fs::rename(file_, former);
  trail_->Rotate();
  trail_->Take(Record("CancelRun", true));
  const auto summary = io::VerifyAuditLog({former, file_});
  ASSERT_TRUE(summary) << summary.error().ToString();
  EXPECT_EQ(summary->lines, 3U) << "two calls, and a line of the rotation";
  EXPECT_TRUE(failure_.ok()) << failure_.ToString();
}

TEST_F(CallTrailTest, SaysSoWhenTheAuditLogCannotBeWritten) {
  std::signal(SIGXFSZ, SIG_IGN);
  trail_->Take(Record("SubmitRun", true));
  rlimit former{};
  getrlimit(RLIMIT_FSIZE, &former);
  rlimit full = former;
  full.rlim_cur = fs::file_size(file_) + 10;
  setrlimit(RLIMIT_FSIZE, &full);
  trail_->Take(Record("CancelRun", true));
  setrlimit(RLIMIT_FSIZE, &former);
  EXPECT_FALSE(failure_.ok());
  EXPECT_EQ(ProcessExitCode(failure_), exit_code::kStorageFailed);
  const auto summary = io::VerifyAuditLog({file_});
  ASSERT_TRUE(summary) << "the half of a line was left: " << summary.error().ToString();
  EXPECT_EQ(summary->lines, 1U);
}

}  // namespace
}  // namespace ferment::coordinator
