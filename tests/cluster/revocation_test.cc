// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/config/run_layout.h"
#include "tests/cluster/lease_cluster_fixture.h"
#include "tests/support/secure_cluster.h"

namespace ferment::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// A run that goes on, and people who follow it.
class Revocation : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(run_dir_);
    v1::SubmitRunRequest submit;
    submit.set_request_id("once");
    submit.set_run_dir(run_dir_.string());
    *submit.mutable_spec() = SmallSpec();
    const auto runs = v1::RunService::NewStub(secure_.Open(secure_.certificates.Client("operator")));
    const auto submitted = rpc::CallUnary(*runs, &v1::RunService::Stub::SubmitRun, submit);
    ASSERT_TRUE(submitted) << submitted.error().ToString();
    run_id_ = submitted->run_id();
  }
  std::unique_ptr<v1::RunService::Stub> RunsAs(const rpc::CredentialPaths& paths) const {
    return v1::RunService::NewStub(secure_.Open(paths));
  }
  /// Follows the run until somebody ends that, and has `meanwhile` done once it was shown.
  grpc::Status Watch(v1::RunService::Stub& runs, const std::function<void()>& meanwhile) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 60s);
    v1::WatchRunRequest request;
    request.set_run_id(run_id_);
    const auto reader = runs.WatchRun(&context, request);
    v1::WatchRunResponse response;
    EXPECT_TRUE(reader->Read(&response));
    meanwhile();
    while (reader->Read(&response)) {
    }
    return reader->Finish();
  }

  SecureCluster secure_{"revocation"};
  const std::filesystem::path run_dir_ = std::filesystem::path(::testing::TempDir()) / "revocation_run";
  std::string run_id_;
};

TEST_F(Revocation, CutsOffAWatchThatRuns) {
  TestCertificates& certificates = secure_.certificates;
  const auto paths = certificates.Client("reader/stolen");
  const auto runs = RunsAs(paths);
  const grpc::Status status = Watch(*runs, [&] { certificates.Revoke(paths); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("revoked: who=reader/stolen"));
}

TEST_F(Revocation, CutsOffALogThatIsFollowed) {
  TestCertificates& certificates = secure_.certificates;
  const std::filesystem::path file = RunLayout(run_dir_).Log("teacher");
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "the beginning";
  const auto paths = certificates.Client("reader/stolen");
  const auto runs = RunsAs(paths);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 60s);
  v1::ReadLogRequest request;
  request.set_run_id(run_id_);
  request.set_job_id("teacher");
  request.set_follow(true);
  const auto reader = runs->ReadLog(&context, request);
  v1::ReadLogResponse response;
  ASSERT_TRUE(reader->Read(&response));
  certificates.Revoke(paths);
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(Revocation, AWatchUnderATokenThatIsStruckOutEndsToo) {
  secure_.WriteTokens(rpc::TokenLine({"ann", v1::ROLE_READER, rpc::HashOfToken("anns-token"), std::nullopt}) + "\n");
  const auto runs = RunsAs(secure_.certificates.TrustOnly("anns-token"));
  const grpc::Status status = Watch(*runs, [&] { secure_.WriteTokens(""); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
}

TEST_F(Revocation, TakesALabelersLeaseIdFromItAndLeavesTheOthersAtWork) {
  TestCertificates& certificates = secure_.certificates;
  const auto paths = certificates.Client("labeler/stolen");
  ScriptedLabeler stolen(secure_.Open(paths), "w");
  ScriptedLabeler other(secure_.Open(certificates.Client("labeler/good")), "w");
  ASSERT_TRUE(stolen.Register().ok());
  ASSERT_TRUE(other.Register().ok());
  certificates.Revoke(paths);
  ASSERT_TRUE(Eventually([&] { return stolen.Lease().error().code() == StatusCode::kUnauthenticated; }));
  EXPECT_EQ(stolen.Register().code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(stolen.Renew({}).code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(stolen.Commit({}, "x").error().code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(other.Lease().error().code(), StatusCode::kUnavailable) << "it may, there is no work";
}

TEST_F(Revocation, ATokenOnTheConnectionOfARevokedCertificateCountsForItself) {
  TestCertificates& certificates = secure_.certificates;
  rpc::CredentialPaths both = certificates.Client("reader/stolen");
  certificates.Revoke(both);
  const auto by_certificate = RunsAs(both);
  const auto list = [](v1::RunService::Stub& runs) {
    const auto answer = rpc::CallUnary(runs, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest());
    return answer ? StatusCode::kOk : answer.error().code();
  };
  ASSERT_TRUE(Eventually([&] { return list(*by_certificate) == StatusCode::kUnauthenticated; }));
  both.token = certificates.TrustOnly("token-of-reader").token;
  EXPECT_EQ(list(*RunsAs(both)), StatusCode::kOk);
}

}  // namespace
}  // namespace ferment::testing
