// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include "common/rpc/credentials/tls_credentials.h"
#include "common/rpc/grpc_status.h"
#include "tests/cluster/lease_cluster_fixture.h"
#include "tests/support/secure_cluster.h"

namespace ferment::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Eq;
using ::testing::HasSubstr;

/// Calls any method, streaming ones too, with these bytes for a request. Returns: the first answer's.
Result<std::string> CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                            const std::string& bytes) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  const auto call = stub.PrepareUnaryCall(&context, path, request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return Fail(rpc::FromGrpc(status));
  grpc::Slice answer;
  if (!response.DumpToSingleSlice(&answer).ok()) return Fail(InternalError("no answer"));
  return std::string(reinterpret_cast<const char*>(answer.begin()), answer.size());
}

Status CallEmpty(const std::shared_ptr<grpc::Channel>& channel, const std::string& path) {
  const auto answer = CallRaw(channel, path, "");
  return answer ? Status() : answer.error();
}

/// Whether the call did not reach its service.
bool IsRefusal(StatusCode code) {
  return code == StatusCode::kUnauthenticated || code == StatusCode::kPermissionDenied ||
         code == StatusCode::kUnavailable;
}

/// As somebody who does not use our client, which looks at its certificate first.
std::shared_ptr<grpc::Channel> OpenUnchecked(const std::string& address, const rpc::CredentialPaths& paths) {
  const auto text = [](const std::filesystem::path& file) { return rpc::ReadCredential(file).value_or(""); };
  return grpc::CreateChannel(address, grpc::SslCredentials({.pem_root_certs = text(paths.authorities),
                                                            .pem_private_key = text(paths.private_key),
                                                            .pem_cert_chain = text(paths.certificate)}));
}

class AccessMatrix : public ::testing::Test {
 protected:
  /// Every method that the descriptors know, health aside, gives one of these codes.
  template <typename Matcher>
  void ExpectEverywhere(const std::string& who, const rpc::CredentialPaths& paths, const Matcher& codes) {
    ExpectEverywhere(who, secure_.Open(paths), codes);
  }
  template <typename Matcher>
  void ExpectEverywhere(const std::string& who, const std::shared_ptr<grpc::Channel>& channel, const Matcher& codes) {
    int methods = 0;
    for (const rpc::MethodAccess& method : secure_.policy.methods()) {
      if (method.open) continue;
      const Status status = CallEmpty(channel, method.path);
      EXPECT_THAT(status.code(), codes) << who << " " << method.path << ": " << status.ToString();
      ++methods;
    }
    EXPECT_GE(methods, 16) << "the descriptors were not all read";
  }
  void ExpectByRole(const std::string& who, v1::Role role, const rpc::CredentialPaths& paths) {
    const auto channel = secure_.Open(paths);
    for (const rpc::MethodAccess& method : secure_.policy.methods()) {
      if (method.open) continue;
      const Status status = CallEmpty(channel, method.path);
      if (method.allow.contains(role)) {
        EXPECT_FALSE(IsRefusal(status.code())) << who << " " << method.path << ": " << status.ToString();
      } else {
        EXPECT_EQ(status.code(), StatusCode::kPermissionDenied)
            << who << " " << method.path << ": " << status.ToString();
      }
    }
  }

  SecureCluster secure_{"access_matrix"};
};

TEST_F(AccessMatrix, WithoutACredentialNothingIsAnswered) {
  ExpectEverywhere("no credentials", secure_.certificates.TrustOnly(), Eq(StatusCode::kUnauthenticated));
  // TLS itself refuses these: they never become a call.
  ExpectEverywhere("plaintext", rpc::CredentialPaths(), Eq(StatusCode::kUnavailable));
}

TEST_F(AccessMatrix, HealthAnswersForEachServiceByItsNameAndKnowsNoOther) {
  const auto channel = secure_.Open(secure_.certificates.TrustOnly());
  const auto health = [&](const std::string& service) {
    const std::string request = std::string("\x0a") + static_cast<char>(service.size()) + service;
    return CallRaw(channel, "/grpc.health.v1.Health/Check", request);
  };
  const std::string serving("\x08\x01", 2);
  for (const char* service : {"", "ferment.v1.RunService", "ferment.v1.LeaseService", "ferment.v1.TrainerService"}) {
    EXPECT_EQ(health(service).value(), serving) << service;
  }
  EXPECT_EQ(health("ferment.v1.Other").error().code(), StatusCode::kNotFound);
}

TEST_F(AccessMatrix, ACertificateThatIsNotTrustedNeverBecomesACall) {
  const auto refused = [this](const std::string& who, const rpc::CredentialPaths& paths) {
    ExpectEverywhere(who, OpenUnchecked(secure_.cluster->address(), paths), Eq(StatusCode::kUnavailable));
  };
  const TestCertificates& ours = secure_.certificates;
  TestCertificates others(ours.folder() / "others");
  const std::string uri = TestCertificates::Uri("operator");
  refused("another authority", others.Issue("operator", uri, {}, FromHours(-1, 24), ours.authority()));
  refused("expired", ours.Issue("expired", uri, {}, FromHours(-2, -1)));
  refused("not yet valid", ours.Issue("early", uri, {}, FromHours(1, 2)));
  refused("a server's", ours.Paths("coordinator"));
  EXPECT_FALSE(rpc::OpenChannel(secure_.cluster->address(), ours.Paths("expired"))) << "our client says so itself";
  const auto good = OpenUnchecked(secure_.cluster->address(), ours.Client("operator"));
  EXPECT_FALSE(IsRefusal(CallEmpty(good, "/ferment.v1.RunService/ListRuns").code())) << "it was not this client";
}

TEST_F(AccessMatrix, ATrustedCertificateWithoutARoleOfOursIsNobody) {
  for (const char* uri : {"", "spiffe://test.local/ferment/root", "spiffe://test.local/ferment",
                          "spiffe://test.local/other/operator", "spiffe://elsewhere.example/ferment/operator",
                          "https://test.local/ferment/operator", "spiffe://test.local/ferment/coordinator"}) {
    ExpectEverywhere(uri, secure_.certificates.Issue("odd", uri), Eq(StatusCode::kUnauthenticated));
  }
}

TEST_F(AccessMatrix, AWrongTokenIsNobody) {
  const auto refused = Eq(StatusCode::kUnauthenticated);
  ExpectEverywhere("unknown token", secure_.certificates.TrustOnly("guess-of-somebody"), refused);
  ExpectEverywhere("expired token", secure_.certificates.TrustOnly("expired-operator"), refused);
  rpc::CredentialPaths both = secure_.certificates.Client("operator");
  both.token = secure_.certificates.TrustOnly("wrong-beside-a-certificate").token;
  ExpectEverywhere("a wrong token beside a good certificate", both, refused);
}

TEST_F(AccessMatrix, ARevokedCertificateIsNobodyNorOnAConnectionThatStands) {
  TestCertificates& ours = secure_.certificates;
  std::vector<std::pair<std::string, std::shared_ptr<grpc::Channel>>> standing;
  for (const v1::Role role : rpc::AllRoles()) {
    const std::string name = rpc::RoleName(role);
    standing.emplace_back(name, secure_.Open(ours.Client(name)));
    EXPECT_NE(CallEmpty(standing.back().second, "/ferment.v1.RunService/GetRun").code(), StatusCode::kUnauthenticated);
    ours.Revoke(ours.Paths(name));
  }
  // The list is looked at once a second.
  const auto last = standing.back().second;
  ASSERT_TRUE(Eventually(
      [&] { return CallEmpty(last, "/ferment.v1.RunService/GetRun").code() == StatusCode::kUnauthenticated; }));
  for (const auto& [name, channel] : standing) {
    ExpectEverywhere("revoked " + name, channel, Eq(StatusCode::kUnauthenticated));
    ExpectEverywhere("revoked " + name + ", anew", ours.Paths(name), Eq(StatusCode::kUnauthenticated));
    EXPECT_EQ(CallEmpty(channel, "/ferment.v1.RunService/DeleteRun").code(), StatusCode::kUnauthenticated);
    ExpectByRole("renewed " + name, rpc::RoleNamed(name), ours.Client(name));
  }
}

TEST_F(AccessMatrix, ARoleDoesWhatItsOptionSaysAndNothingElse) {
  for (const v1::Role role : rpc::AllRoles()) {
    const std::string name = rpc::RoleName(role);
    ExpectByRole("certificate of a " + name, role, secure_.certificates.Client(name));
    // A trainer's name is the run that it is good for, which an empty request does not name.
    if (role != v1::ROLE_TRAINER) {
      ExpectByRole("named certificate of a " + name, role, secure_.certificates.Client(name + "/x"));
    }
    ExpectByRole("token of a " + name, role, secure_.certificates.TrustOnly("token-of-" + name));
  }
}

TEST_F(AccessMatrix, AMethodThatDoesNotExistIsDeniedToEverybody) {
  for (const char* path : {"/ferment.v1.RunService/DeleteRun", "/ferment.v1.RunService/getrun", "/x.Y/Z",
                           "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}) {
    EXPECT_EQ(CallEmpty(secure_.Open(secure_.certificates.Client("operator")), path).code(),
              StatusCode::kPermissionDenied)
        << path;
    EXPECT_EQ(CallEmpty(secure_.Open(secure_.certificates.TrustOnly()), path).code(), StatusCode::kUnauthenticated)
        << path;
  }
}

TEST_F(AccessMatrix, HealthIsOpen) {
  const std::string check = "/grpc.health.v1.Health/Check";
  EXPECT_EQ(CallEmpty(secure_.Open(secure_.certificates.TrustOnly()), check).ToString(), "OK");
  EXPECT_EQ(CallEmpty(secure_.Open(secure_.certificates.Client("trainer")), check).ToString(), "OK");
}

/// A server that holds this certificate, however it came by it.
StatusCode CallServerWith(const rpc::CredentialPaths& server_paths, const rpc::CredentialPaths& client_paths) {
  class NoRuns final : public v1::RunService::Service {};
  NoRuns service;
  grpc::ServerBuilder builder;
  int port = 0;
  const auto credentials = rpc::MakeServerCredentials(server_paths, false);
  builder.AddListeningPort("127.0.0.1:0", *credentials, &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  const auto channel = rpc::OpenChannel("127.0.0.1:" + std::to_string(port), client_paths);
  return CallEmpty(*channel, "/ferment.v1.RunService/ListRuns").code();
}

TEST_F(AccessMatrix, AClientTrustsNoServerButTheOneItCalls) {
  const TestCertificates& ours = secure_.certificates;
  const rpc::CredentialPaths client = ours.Client("operator");
  const std::string uri = TestCertificates::Uri("coordinator");
  EXPECT_EQ(CallServerWith(ours.Server(), client), StatusCode::kUnimplemented) << "the right one is reached";
  EXPECT_EQ(CallServerWith(ours.Issue("elsewhere", uri, {"train.example"}), client), StatusCode::kUnavailable);
  EXPECT_EQ(CallServerWith(ours.Client("labeler"), client), StatusCode::kUnavailable) << "a client's certificate";
  TestCertificates others(ours.folder() / "others");
  const auto foreign = others.Issue("coordinator", uri, {"127.0.0.1"}, FromHours(-1, 24), ours.authority());
  EXPECT_EQ(CallServerWith(foreign, client), StatusCode::kUnavailable) << "another authority";
}

TEST_F(AccessMatrix, AClientThatHasTheListTrustsNoRevokedServer) {
  TestCertificates& ours = secure_.certificates;
  const rpc::CredentialPaths unaware = ours.Client("operator");
  rpc::CredentialPaths client = unaware;
  client.revocations = ours.RevocationFile();
  const std::string uri = TestCertificates::Uri("coordinator");
  const rpc::CredentialPaths stolen = ours.Issue("stolen", uri, {"127.0.0.1"});
  EXPECT_EQ(CallServerWith(stolen, client), StatusCode::kUnimplemented) << "there is no list yet";
  ours.Revoke(stolen);
  EXPECT_EQ(CallServerWith(stolen, client), StatusCode::kUnavailable);
  EXPECT_EQ(CallServerWith(stolen, unaware), StatusCode::kUnimplemented);
  EXPECT_EQ(CallServerWith(ours.Issue("renewed", uri, {"127.0.0.1"}), client), StatusCode::kUnimplemented);
  EXPECT_EQ(CallServerWith(ours.Issue("elsewhere", uri, {"train.example"}), client), StatusCode::kUnavailable)
      << "the host counts as it does without a list";
}

TEST_F(AccessMatrix, OnlyTheLabelerThatRegisteredMayUseItsId) {
  ScriptedLabeler seven(secure_.Open(secure_.certificates.Client("labeler/seven")), "w");
  ScriptedLabeler eight(secure_.Open(secure_.certificates.Client("labeler/eight")), "w");
  ASSERT_EQ(seven.Register().ToString(), "OK");
  ASSERT_EQ(eight.Register().ToString(), "OK");
  EXPECT_NE(seven.labeler_id(), eight.labeler_id()) << "one name, two credentials: two labelers";
  v1::CommitShardRequest own_commit;
  own_commit.set_labeler_id(eight.labeler_id());
  own_commit.mutable_next()->set_labeler_id(seven.labeler_id());
  const auto stub = v1::LeaseService::NewStub(secure_.Open(secure_.certificates.Client("labeler/eight")));
  const auto next = rpc::CallUnary(*stub, &v1::LeaseService::Stub::CommitShard, own_commit);
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code(), StatusCode::kPermissionDenied) << "a commit leases nothing in another's name";
  EXPECT_EQ(seven.Lease().error().code(), StatusCode::kUnavailable) << "it may, there is no work";
  eight.Pretend(seven.labeler_id());
  EXPECT_EQ(eight.Lease().error().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(eight.Renew({}).code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(eight.Return({}).code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(eight.Commit({}, "x").error().code(), StatusCode::kPermissionDenied);
  ScriptedLabeler forger(secure_.Open(secure_.certificates.Client("labeler/eight")), "w@labeler/seven");
  EXPECT_EQ(forger.Register().code(), StatusCode::kInvalidArgument);
  ScriptedLabeler other_forger(secure_.Open(secure_.certificates.Client("labeler/eight")), "w", "1@labeler/seven/1");
  EXPECT_EQ(other_forger.Register().code(), StatusCode::kInvalidArgument);
}

TEST_F(AccessMatrix, ATrainersCertificateForOneRunIsGoodForNoOther) {
  const auto stub = v1::TrainerService::NewStub(secure_.Open(secure_.certificates.Client("trainer/run-1")));
  v1::AcquireRunTokenRequest request;
  request.set_run_id("run-2");
  const auto other = rpc::CallUnary(*stub, &v1::TrainerService::Stub::AcquireRunToken, request);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), StatusCode::kPermissionDenied);
  request.set_run_id("run-1");
  const auto own = rpc::CallUnary(*stub, &v1::TrainerService::Stub::AcquireRunToken, request);
  ASSERT_FALSE(own);
  EXPECT_FALSE(IsRefusal(own.error().code())) << own.error().ToString();
}

TEST_F(AccessMatrix, BytesThatAreNoMessageAreAnInvalidRequestAndToldOfAsThat) {
  const auto channel = secure_.Open(secure_.certificates.Client("operator"));
  for (const char* method : {"CancelRun", "WatchRun"}) {
    const std::string path = std::string("/ferment.v1.RunService/") + method;
    for (const char* bytes : {"\xff", "\x0a\x05xx", "\x0a\x01\xff"}) {
      const auto answer = CallRaw(channel, path, bytes);
      ASSERT_FALSE(answer);
      EXPECT_EQ(answer.error().code(), StatusCode::kInvalidArgument) << answer.error().ToString();
      EXPECT_THAT(std::string(answer.error().message()), HasSubstr("method=" + path));
      EXPECT_EQ(secure_.records().back().outcome.code(), StatusCode::kInvalidArgument);
    }
  }
  EXPECT_EQ(CallEmpty(channel, "/ferment.v1.RunService/CancelRun").code(), StatusCode::kNotFound);
}

TEST_F(AccessMatrix, TellsOfEveryRefusalWhoItWas) {
  CallEmpty(secure_.Open(secure_.certificates.Client("labeler/seven")), "/ferment.v1.RunService/CancelRun").ok();
  CallEmpty(secure_.Open(secure_.certificates.TrustOnly()), "/ferment.v1.RunService/SubmitRun").ok();
  const auto records = secure_.records();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].who, "labeler/seven");
  EXPECT_EQ(records[0].role, "labeler");
  EXPECT_EQ(records[0].method, "ferment.v1.RunService/CancelRun");
  EXPECT_TRUE(records[0].refused);
  EXPECT_EQ(records[1].who, "");
  EXPECT_EQ(records[1].outcome.code(), StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace ferment::testing
