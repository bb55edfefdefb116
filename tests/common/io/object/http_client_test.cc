// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/http_client.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <semaphore>

#include "tests/support/scripted_http_server.h"
#include "tests/support/test_certificates.h"

namespace ferment::io {
namespace {

using ferment::testing::HttpCall;
using ferment::testing::HttpText;
using ferment::testing::ScriptedAnswer;
using ferment::testing::ScriptedHttpServer;
using ferment::testing::ServerIdentity;
using ferment::testing::TestCertificates;

/// The system waits on no more files than a process may open: not on two.
class OneFileAlone {
 public:
  OneFileAlone() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &former_), 0);
    rlimit one = former_;
    one.rlim_cur = 1;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &one), 0);
  }
  ~OneFileAlone() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &former_), 0); }
  OneFileAlone(const OneFileAlone&) = delete;
  OneFileAlone& operator=(const OneFileAlone&) = delete;

 private:
  rlimit former_{};
};

TEST(HttpClient, AWaitThatFailsIsAFailureOfTheRequestAndTheNextOneIsMade) {
  std::binary_semaphore has_failed(0);
  std::binary_semaphore lifted(0);
  const ScriptedHttpServer server([&](const HttpCall&, std::size_t number) {
    if (number > 0) return HttpText(200, "whole");
    {
      const OneFileAlone limit;
      has_failed.acquire();
    }
    lifted.release();
    return ScriptedAnswer{};
  });
  HttpClient client(
      {.connect_deadline = std::chrono::minutes(1), .deadline = std::chrono::minutes(1), .ca_bundle = {}});
  const HttpRequest request{"GET", server.endpoint() + "/k", {}, {}, 100};
  const HttpAnswer failed = client.Perform(request);
  has_failed.release();
  lifted.acquire();
  EXPECT_EQ(failed.transport.code(), StatusCode::kUnavailable) << failed.transport.ToString();
  EXPECT_NE(failed.transport.message().find("libcurl: "), std::string::npos) << failed.transport.ToString();
  const HttpAnswer answer = client.Perform(request);
  EXPECT_TRUE(answer.transport.ok()) << answer.transport.ToString();
  EXPECT_EQ(answer.status, 200);
}

class HttpClientOverTls : public ::testing::Test {
 protected:
  ~HttpClientOverTls() override {
    for (const char* variable : {"https_proxy", "http_proxy"}) unsetenv(variable);
  }

  static ServerIdentity Identity(const TestCertificates& certificates) {
    const auto paths = certificates.Server();
    return {paths.certificate, paths.private_key};
  }
  static HttpClient::Options Options(const std::filesystem::path& bundle) {
    return {.connect_deadline = std::chrono::minutes(1), .deadline = std::chrono::minutes(1), .ca_bundle = bundle};
  }
  static HttpRequest Get(const ScriptedHttpServer& server) { return {"GET", server.endpoint() + "/k", {}, {}, 100}; }

  const std::filesystem::path folder_ = ::testing::TempDir();
  TestCertificates ours_{folder_ / "ours"};
  TestCertificates others_{folder_ / "others"};
};

TEST_F(HttpClientOverTls, ABundleThatIsReplacedCountsFromTheNextConnectionOn) {
  const auto answer = [](const HttpCall&, std::size_t) { return HttpText(200, "whole"); };
  const ScriptedHttpServer server(answer, Identity(ours_));
  const ScriptedHttpServer later(answer, Identity(others_));
  const auto bundle = ours_.TrustOnly();
  HttpClient client(Options(bundle.authorities));
  EXPECT_EQ(client.Perform(Get(server)).status, 200);
  EXPECT_EQ(client.Perform(Get(later)).transport.code(), StatusCode::kPermissionDenied);
  TestCertificates::Trust(bundle, others_.authority());
  EXPECT_EQ(client.Perform(Get(later)).status, 200);
  EXPECT_EQ(client.Perform(Get(server)).transport.code(), StatusCode::kPermissionDenied);
  std::filesystem::remove(bundle.authorities);
  const HttpAnswer without = client.Perform(Get(later));
  EXPECT_EQ(without.transport.code(), StatusCode::kInvalidArgument) << without.transport.ToString();
  EXPECT_NE(without.transport.message().find(bundle.authorities.string()), std::string::npos);
}

/// Puts `authority` where the system's certificates are, for this process alone. Returns: whether it may.
bool BecomesTheSystems(const std::string& authority, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "ca-certificates.crt") << authority;
  const std::string rehash = "openssl rehash " + folder.string();
  return std::system(rehash.c_str()) == 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
         mount(folder.c_str(), "/etc/ssl/certs", nullptr, MS_BIND, nullptr) == 0;
}

TEST_F(HttpClientOverTls, ABundleStandsInPlaceOfTheSystemsCertificates) {
  const ScriptedHttpServer server([](const HttpCall&, std::size_t) { return HttpText(200, "whole"); }, Identity(ours_));
  // Of another name: OpenSSL looks in the folder for names that the file does not have.
  const auto elsewhere = rpc::MakeAuthority("elsewhere", testing::FromHours(-1, 24));
  ASSERT_TRUE(elsewhere) << elsewhere.error().ToString();
  const std::filesystem::path bundle = folder_ / "elsewhere.pem";
  std::ofstream(bundle) << elsewhere->certificate;
  enum { kAsItShould, kSystemUnused, kSystemStillTrusted, kNotAllowedHere };
  const pid_t child = fork();
  if (child == 0) {
    if (!BecomesTheSystems(ours_.authority(), folder_ / "system")) _exit(kNotAllowedHere);
    if (HttpClient(Options({})).Perform(Get(server)).status != 200) _exit(kSystemUnused);
    HttpClient client(Options(bundle));
    const Status refused = client.Perform(Get(server)).transport;
    _exit(refused.code() == StatusCode::kPermissionDenied ? kAsItShould : kSystemStillTrusted);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNotAllowedHere) GTEST_SKIP() << "this user may not mount in a namespace of its own";
  EXPECT_EQ(WEXITSTATUS(status), kAsItShould);
}

TEST_F(HttpClientOverTls, AConnectionThatBreaksUnderAnUploadEndsTheRequestNotTheProcess) {
  // The server believes what it is told, a byte, and breaks the connection while the rest comes.
  const ScriptedHttpServer server(
      [](const HttpCall&, std::size_t) { return ScriptedAnswer{.bytes = "", .abrupt = true}; }, Identity(ours_));
  HttpClient client(Options(ours_.TrustOnly().authorities));
  const std::vector<std::byte> body(32 << 20);
  const HttpAnswer answer = client.Perform({"PUT", server.endpoint() + "/k", {{"content-length", "1"}}, body, 100});
  EXPECT_EQ(answer.transport.code(), StatusCode::kUnavailable) << answer.transport.ToString();
}

TEST_F(HttpClientOverTls, AProxyIsAskedForATunnelAlone) {
  const ScriptedHttpServer proxy([](const HttpCall&, std::size_t) { return HttpText(403, "not for you"); });
  setenv("https_proxy", proxy.endpoint().c_str(), 1);
  setenv("http_proxy", proxy.endpoint().c_str(), 1);
  const ScriptedHttpServer server([](const HttpCall&, std::size_t) { return HttpText(200, "whole"); }, Identity(ours_));
  HttpClient client(Options(ours_.TrustOnly().authorities));
  HttpRequest request = Get(server);
  request.headers["authorization"] = "signature";
  const HttpAnswer refused = client.Perform(request);
  EXPECT_EQ(refused.transport.code(), StatusCode::kUnavailable);
  EXPECT_NE(refused.transport.message().find("403"), std::string::npos) << refused.transport.ToString();
  ASSERT_EQ(proxy.Calls().size(), 1U);
  EXPECT_EQ(proxy.Calls()[0].method, "CONNECT");
  EXPECT_FALSE(proxy.Calls()[0].headers.contains("authorization"));

  const ScriptedHttpServer plain([](const HttpCall&, std::size_t) { return HttpText(200, "whole"); });
  EXPECT_EQ(client.Perform(Get(plain)).status, 200);
  EXPECT_EQ(plain.Calls().size(), 1U);
}

}  // namespace
}  // namespace ferment::io
