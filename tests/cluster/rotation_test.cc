// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <set>
#include <thread>

#include "tests/support/secure_cluster.h"

namespace ferment::testing {
namespace {

using namespace std::chrono_literals;

/// Makes one call after another until it is told to stop, each tried once.
class Caller {
 public:
  Caller(const SecureCluster& secure, const rpc::CredentialPaths& paths)
      : stub_(v1::RunService::NewStub(secure.Open(paths))), thread_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) Call();
        }) {}
  void Stop() {
    thread_.request_stop();
    thread_.join();
  }

  int calls() const { return calls_; }
  const std::string& first_failure() const { return first_failure_; }
  int failures() const { return failures_; }
  std::size_t servers_certificates() const { return seen_.size(); }

 private:
  void Call() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10s);
    v1::ListRunsResponse response;
    const grpc::Status status = stub_->ListRuns(&context, {}, &response);
    ++calls_;
    if (!status.ok() && failures_++ == 0)
      first_failure_ = std::to_string(status.error_code()) + " " + status.error_message();
    const auto certificate = context.auth_context()->FindPropertyValues("x509_pem_cert");
    if (!certificate.empty()) seen_.emplace(certificate.front().data(), certificate.front().size());
  }

  std::unique_ptr<v1::RunService::Stub> stub_;
  int calls_ = 0;
  int failures_ = 0;
  std::string first_failure_;
  std::set<std::string> seen_;
  std::jthread thread_;
};

TEST(Rotation, OfCertificatesAuthoritiesAndTokensLosesNoCall) {
  // Young connections: each of them is made with what the files say at that time.
  SecureCluster secure("rotation", 300ms);
  TestCertificates& certificates = secure.certificates;
  const rpc::CredentialPaths with_token = certificates.TrustOnly("token-of-reader");
  Caller by_certificate(secure, certificates.Client("reader"));
  Caller by_token(secure, with_token);
  constexpr int kRotations = 20;
  for (int round = 0; round < kRotations; ++round) {
    const bool new_authority = round % 5 == 4;
    const std::string former = certificates.authority();
    if (new_authority) certificates.NewAuthority();
    const std::string both = former + certificates.authority();
    if (new_authority) {
      // First everybody trusts the new one too; who shows a certificate of it comes later.
      TestCertificates::Trust(certificates.Paths("coordinator"), both);
      TestCertificates::Trust(certificates.Paths("reader"), both);
      TestCertificates::Trust(with_token, both);
      std::this_thread::sleep_for(2500ms);
    }
    // Somebody else's certificate, by whichever authority it is.
    certificates.Revoke(certificates.Client("reader/gone"));
    certificates.Issue("coordinator", TestCertificates::Uri("coordinator"), {"localhost", "127.0.0.1"},
                       FromHours(-1, 24), both);
    certificates.Issue("reader", TestCertificates::Uri("reader"), {}, FromHours(-1, 24), both);
    // The new token is known before it is used, the old one until all have left it.
    const std::string token = "renewed-" + std::to_string(round);
    secure.WriteTokens(rpc::TokenLine({"ann", v1::ROLE_READER, rpc::HashOfToken(token), std::nullopt}) + "\n");
    const std::filesystem::path made = with_token.token.string() + ".new";
    std::ofstream(made) << token << "\n";
    std::filesystem::rename(made, with_token.token);
    // The files' time stamps, by which gRPC sees that they are others, count in seconds.
    std::this_thread::sleep_for(1200ms);
    const std::filesystem::path back = with_token.token.string() + ".back";
    std::ofstream(back) << "token-of-reader\n";
    std::filesystem::rename(back, with_token.token);
    std::this_thread::sleep_for(50ms);
  }
  by_certificate.Stop();
  by_token.Stop();
  std::printf("%d rotations, %d and %d calls, %zu and %zu certificates of the server seen\n", kRotations,
              by_certificate.calls(), by_token.calls(), by_certificate.servers_certificates(),
              by_token.servers_certificates());
  EXPECT_EQ(by_certificate.failures(), 0) << by_certificate.first_failure();
  EXPECT_EQ(by_token.failures(), 0) << by_token.first_failure();
  EXPECT_GT(by_certificate.calls(), 20);
  EXPECT_GE(by_certificate.servers_certificates(), 10U) << "the renewed certificates were not used";
  EXPECT_GE(by_token.servers_certificates(), 10U);
}

TEST(Rotation, ATokenThatIsStruckOutIsRefusedAtOnce) {
  SecureCluster secure("struck_out");
  secure.WriteTokens(rpc::TokenLine({"ann", v1::ROLE_READER, rpc::HashOfToken("anns-token"), std::nullopt}) + "\n");
  const auto stub = v1::RunService::NewStub(secure.Open(secure.certificates.TrustOnly("anns-token")));
  EXPECT_TRUE(rpc::CallUnary(*stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest()));
  secure.WriteTokens("");
  const auto refused = rpc::CallUnary(*stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace ferment::testing
