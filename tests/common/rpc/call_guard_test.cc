// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/call_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/rpc/grpc_channel.h"
#include "common/rpc/grpc_server.h"
#include "common/rpc/grpc_status.h"
#include "ferment/v1/run_service.grpc.pb.h"
#include "tests/support/test_certificates.h"

namespace ferment::rpc {
namespace {

namespace fs = std::filesystem;
using ferment::testing::TestCertificates;
using ::testing::HasSubstr;
using ::testing::Not;

class Echo final : public v1::RunService::Service {
 public:
  grpc::Status GetRun(grpc::ServerContext*, const v1::GetRunRequest* request, v1::GetRunResponse* response) override {
    response->mutable_run()->set_run_id(request->run_id());
    return grpc::Status::OK;
  }
  grpc::Status CancelRun(grpc::ServerContext*, const v1::CancelRunRequest*, v1::CancelRunResponse*) override {
    return ToGrpc(NotFoundError("no such run"));
  }
};

/// A server with TLS and tokens, and what it told of its calls.
class CallGuardTest : public ::testing::Test {
 protected:
  void Serve(bool with_tokens, RefusalLimit limit = {}) {
    const fs::path tokens = with_tokens ? certificates_.folder() / "tokens" : fs::path();
    if (with_tokens) WriteTokens();
    auto security = ServerSecurity::Open(certificates_.Server(), tokens, SystemClock());
    ASSERT_TRUE(security) << security.error().message();
    security_ = std::move(*security);
    security_->refusals = limit;
    const char* const services[] = {"ferment.v1.RunService"};
    auto policy = AccessPolicy::Read(services);
    ASSERT_TRUE(policy) << policy.error().message();
    policy_ = std::move(*policy);
    grpc::Service* all[] = {&echo_};
    auto server = GrpcServer::Start({.security = security_.get(),
                                     .policy = &policy_,
                                     .on_call =
                                         [this](const CallRecord& record) {
                                           const MutexLock lock(mutex_);
                                           records_.push_back(record);
                                         }},
                                    all);
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  void WriteTokens() const {
    const auto line = [](const char* name, v1::Role role, const char* token, std::optional<WallTime> expires) {
      return TokenLine({name, role, HashOfToken(token), expires}) + "\n";
    };
    const auto now = std::chrono::system_clock::now();
    std::ofstream(certificates_.folder() / "tokens")
        << line("ann", v1::ROLE_OPERATOR, "token-of-ann", now + std::chrono::hours(1))
        << line("old", v1::ROLE_OPERATOR, "token-of-old", now - std::chrono::hours(1));
  }
  Status Get(const CredentialPaths& paths) { return Call(paths, &v1::RunService::Stub::GetRun, v1::GetRunRequest()); }
  Status Cancel(const CredentialPaths& paths) {
    v1::CancelRunRequest request;
    request.set_run_id("run-7");
    return Call(paths, &v1::RunService::Stub::CancelRun, request);
  }
  template <typename Method, typename Request>
  Status Call(const CredentialPaths& paths, Method method, const Request& request) {
    auto channel = OpenChannel(server_->address(), paths);
    if (!channel) return channel.error();
    const auto stub = v1::RunService::NewStub(*channel);
    const auto response = CallUnary(*stub, method, request);
    return response ? Status() : response.error();
  }
  std::vector<CallRecord> records() {
    const MutexLock lock(mutex_);
    return records_;
  }

  const TestCertificates certificates_{fs::path(::testing::TempDir()) / "call_guard"};
  Mutex mutex_;
  std::vector<CallRecord> records_;
  Echo echo_;
  std::unique_ptr<ServerSecurity> security_;
  AccessPolicy policy_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(CallGuardTest, LetsACertificatesRoleDoWhatItMayAndNoMore) {
  Serve(false);
  EXPECT_EQ(Get(certificates_.Client("reader")).ToString(), "OK");
  EXPECT_EQ(Cancel(certificates_.Client("operator")).code(), StatusCode::kNotFound);
  const Status denied = Cancel(certificates_.Client("reader"));
  EXPECT_EQ(denied.code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(denied.message()), HasSubstr("wanted=submitter or operator"));
  EXPECT_EQ(Get(certificates_.Client("labeler")).code(), StatusCode::kPermissionDenied);
}

TEST_F(CallGuardTest, TellsOfCallsAndOfRefusals) {
  Serve(false);
  EXPECT_FALSE(Cancel(certificates_.Client("operator/eve")).ok());
  EXPECT_FALSE(Cancel(certificates_.Client("trainer")).ok());
  const auto told = records();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].method, "ferment.v1.RunService/CancelRun");
  EXPECT_EQ(told[0].who, "operator/eve");
  EXPECT_EQ(told[0].role, "operator");
  EXPECT_EQ(told[0].run, "run-7");
  EXPECT_EQ(told[0].outcome.code(), StatusCode::kNotFound);
  EXPECT_TRUE(told[0].audited);
  EXPECT_FALSE(told[0].refused);
  EXPECT_EQ(told[1].who, "trainer");
  EXPECT_EQ(told[1].outcome.code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(told[1].refused);
}

TEST_F(CallGuardTest, TakesATokenWhereTokensAreTaken) {
  Serve(true);
  EXPECT_EQ(Cancel(certificates_.TrustOnly("token-of-ann")).code(), StatusCode::kNotFound);
  EXPECT_EQ(records().back().who, "token:ann");
  EXPECT_EQ(Get(certificates_.TrustOnly("token-of-old")).code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(Get(certificates_.TrustOnly("another-token")).code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(Get(certificates_.TrustOnly()).code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(Get(certificates_.Client("reader")).ToString(), "OK");
  CredentialPaths both = certificates_.Client("reader");
  both.token = certificates_.TrustOnly("another-token").token;
  EXPECT_EQ(Get(both).code(), StatusCode::kUnauthenticated) << "a wrong token is not made good by a certificate";
}

TEST_F(CallGuardTest, TheSchemeOfATokenIsInAnyCaseAndNoOtherScheme) {
  Serve(true);
  const auto channel = OpenChannel(server_->address(), certificates_.TrustOnly());
  ASSERT_TRUE(channel);
  const auto stub = v1::RunService::NewStub(*channel);
  const auto answer = [&](const std::string& authorization) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", authorization);
    v1::GetRunResponse response;
    return stub->GetRun(&context, v1::GetRunRequest(), &response).error_code();
  };
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER ", "bEaReR "}) {
    EXPECT_EQ(answer(std::string(scheme) + "token-of-ann"), grpc::StatusCode::OK) << scheme;
  }
  for (const char* scheme : {"", "Basic ", "Bear ", "Bearer", "Bearer  ", "XBearer "}) {
    EXPECT_EQ(answer(std::string(scheme) + "token-of-ann"), grpc::StatusCode::UNAUTHENTICATED) << scheme;
  }
  EXPECT_EQ(answer("bearer"), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(CallGuardTest, WantsACertificateWhereTokensAreNotTaken) {
  Serve(false);
  EXPECT_EQ(Get(certificates_.TrustOnly()).code(), StatusCode::kUnavailable) << "TLS itself refuses";
  CredentialPaths both = certificates_.Client("operator");
  both.token = certificates_.TrustOnly("token-of-ann").token;
  EXPECT_EQ(Get(both).code(), StatusCode::kUnauthenticated);
}

TEST_F(CallGuardTest, AnswersAFloodOfWrongTokensWithoutALineForEach) {
  Serve(true, {.burst = 5, .per_second = 0});
  const auto channel = OpenChannel(server_->address(), certificates_.TrustOnly("wrong-token"));
  ASSERT_TRUE(channel);
  const auto stub = v1::RunService::NewStub(*channel);
  int limited = 0;
  for (int i = 0; i < 50; ++i) {
    const auto response = CallUnary(*stub, &v1::RunService::Stub::GetRun, v1::GetRunRequest());
    ASSERT_FALSE(response);
    limited += response.error().code() == StatusCode::kResourceExhausted ? 1 : 0;
  }
  EXPECT_EQ(limited, 45);
  const auto told = records();
  EXPECT_EQ(std::count_if(told.begin(), told.end(), [](const CallRecord& one) { return one.flooding; }), 45);
  EXPECT_EQ(Cancel(certificates_.TrustOnly("token-of-ann")).code(), StatusCode::kNotFound) << "a right one still works";
}

TEST_F(CallGuardTest, DoesNotStartWithACertificateThatSaysNotWhoseRolesItTakes) {
  const auto paths = certificates_.Issue("anonymous", "", {"localhost"});
  const auto security = ServerSecurity::Open(paths, {}, SystemClock());
  ASSERT_FALSE(security);
  EXPECT_EQ(ProcessExitCode(security.error()), exit_code::kNotAllowed);
  EXPECT_THAT(std::string(security.error().message()), HasSubstr("spiffe://"));
}

TEST_F(CallGuardTest, DoesNotStartWithTheKeyOfAnother) {
  CredentialPaths paths = certificates_.Server();
  paths.private_key = certificates_.Client("reader").private_key;
  const auto security = ServerSecurity::Open(paths, {}, SystemClock());
  ASSERT_FALSE(security);
  EXPECT_THAT(std::string(security.error().message()), HasSubstr(paths.private_key.string()));
  EXPECT_THAT(std::string(security.error().message()), Not(HasSubstr("BEGIN")));
}

}  // namespace
}  // namespace ferment::rpc
