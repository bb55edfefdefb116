// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <stop_token>

#include "common/io/object/s3_object_store.h"
#include "tests/support/memory_object_store.h"
#include "tests/support/scripted_http_server.h"
#include "tests/support/test_certificates.h"

namespace ferment::io {
namespace {

using ferment::testing::BytesOf;
using ferment::testing::FromHours;
using ferment::testing::HttpCall;
using ferment::testing::HttpPart;
using ferment::testing::HttpText;
using ferment::testing::ScriptedAnswer;
using ferment::testing::ScriptedHttpServer;
using ferment::testing::ServerIdentity;
using ferment::testing::TestCertificates;

// What is demanded of TLS must not come from the system that the tests happen to run on. Read when OpenSSL starts.
const int kLaxSystem = setenv("OPENSSL_CONF", FERMENT_FIXTURES "/lax_openssl.cnf", 1);

/// Variables that would change where requests go.
constexpr const char* kVariables[] = {"AWS_ENDPOINT_URL_S3", "AWS_REGION",  "AWS_DEFAULT_REGION", "AWS_PROFILE",
                                      "AWS_CA_BUNDLE",       "HTTPS_PROXY", "https_proxy",        "http_proxy",
                                      "ALL_PROXY",           "all_proxy",   "NO_PROXY",           "no_proxy"};

std::string TextOf(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void ExpectMessage(const Status& status, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_NE(status.message().find(word), std::string::npos) << word << " in: " << status.ToString();
}

class ObjectTls : public ::testing::Test {
 protected:
  ObjectTls() {
    for (const char* variable : kVariables) unsetenv(variable);
    std::ofstream(folder_ / "keys") << "[default]\naws_access_key_id=AK\naws_secret_access_key=SK\n";
    setenv("AWS_SHARED_CREDENTIALS_FILE", (folder_ / "keys").c_str(), 1);
    std::ofstream(bundle_) << certificates_.authority();
  }
  ~ObjectTls() override {
    for (const char* variable : kVariables) unsetenv(variable);
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    unsetenv("AWS_ENDPOINT_URL");
  }

  ServerIdentity Identity(const std::vector<std::string>& hosts = {"127.0.0.1"},
                          const rpc::Validity& validity = FromHours(-1, 24)) const {
    const auto paths = certificates_.Issue("store", "", hosts, validity);
    return {paths.certificate, paths.private_key};
  }

  /// Settings as a program has them from the environment: the server, the bundle, and hours to try again.
  S3Settings Settings(const std::string& endpoint, const std::filesystem::path& bundle) const {
    setenv("AWS_ENDPOINT_URL", endpoint.c_str(), 1);
    setenv("AWS_CA_BUNDLE", bundle.c_str(), 1);
    auto settings = S3SettingsFromEnvironment();
    EXPECT_TRUE(settings) << settings.error().ToString();
    settings->request_deadline = settings->connect_deadline = settings->retry_for = std::chrono::hours(1);
    settings->first_pause = settings->longest_pause = std::chrono::milliseconds(1);
    return *settings;
  }
  std::unique_ptr<ObjectStore> Open(const ScriptedHttpServer& server) const {
    return *OpenS3Bucket(Settings(server.endpoint(), bundle_), "faces");
  }

  /// Returns: how a read ends that must be refused at once: for good, after one connection, nothing sent.
  static Status Refused(ScriptedHttpServer& server, S3Settings settings) {
    settings.retry_for = std::chrono::milliseconds(200);
    const auto bytes = (*OpenS3Bucket(settings, "faces"))->Read("k", 0, 4, "");
    EXPECT_FALSE(bytes);
    if (bytes) return {};
    const auto calls = server.Finish();
    EXPECT_EQ(calls.size(), 1U);
    for (const HttpCall& call : calls) EXPECT_EQ(call.method, "");
    ExpectMessage(bytes.error(), {"GET s3://faces/k at " + server.endpoint()});
    return bytes.error();
  }
  Status Refused(ScriptedHttpServer& server) const { return Refused(server, Settings(server.endpoint(), bundle_)); }

  const std::filesystem::path folder_ = ::testing::TempDir();
  const std::filesystem::path bundle_ = folder_ / "bundle.pem";
  TestCertificates certificates_{folder_ / "object-tls"};
  const std::string object_ = "0123456789abcdefghijklmnopqrstuvwxyz";
};

TEST_F(ObjectTls, ReadsAndWritesWhereTheBundleVouchesForTheServer) {
  const ScriptedHttpServer server(
      [this](const HttpCall& call, std::size_t) {
        return call.method == "GET" ? HttpPart(call, object_) : HttpText(200, "", "ETag: \"e2\"\r\n");
      },
      Identity());
  const auto store = Open(server);
  const auto bytes = store->Read("k", 3, 5, "e1");
  ASSERT_TRUE(bytes) << bytes.error().ToString();
  EXPECT_EQ(TextOf(*bytes), "34567");
  const Status put = store->PutIfAbsent("k", BytesOf("label set"));
  EXPECT_TRUE(put.ok()) << put.ToString();
  const auto etag = store->Replace("k", BytesOf("index"), "e1");
  ASSERT_TRUE(etag) << etag.error().ToString();
  const auto calls = server.Calls();
  ASSERT_EQ(calls.size(), 3U);
  EXPECT_EQ(calls[0].headers.at("range"), "bytes=3-7");
  EXPECT_EQ(calls[1].headers.at("if-none-match"), "*");
  EXPECT_EQ(calls[1].body, "label set");
  EXPECT_EQ(calls[2].headers.at("if-match"), "\"e1\"");
}

TEST_F(ObjectTls, ABucketsOwnHostIsCoveredByAWildcard) {
  const ScriptedHttpServer server([this](const HttpCall& call, std::size_t) { return HttpPart(call, object_); },
                                  Identity({"*.store.localhost"}));
  setenv("FERMENT_S3_ADDRESSING", "virtual", 1);
  const auto settings = Settings("https://store.localhost:" + std::to_string(server.port()), bundle_);
  unsetenv("FERMENT_S3_ADDRESSING");
  const auto bytes = (*OpenS3Bucket(settings, "faces"))->Read("k", 0, 4, "");
  ASSERT_TRUE(bytes) << bytes.error().ToString();
  EXPECT_EQ(server.Calls().at(0).target, "/k");
}

TEST_F(ObjectTls, AnAuthorityThatIsNotInTheBundleIsRefusedAndTheBundleNamed) {
  const auto nobody = [](const HttpCall&, std::size_t) { return ScriptedAnswer{}; };
  TestCertificates others(folder_ / "other-authority");
  const auto paths = others.Server();
  ScriptedHttpServer server(nobody, ServerIdentity{paths.certificate, paths.private_key});
  const Status status = Refused(server);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kNotAllowed);
  ExpectMessage(status, {"unable to get local issuer certificate", "AWS_CA_BUNDLE=" + bundle_.string()});

  ScriptedHttpServer unknown_to_the_system(nobody, Identity());
  S3Settings settings = Settings(unknown_to_the_system.endpoint(), bundle_);
  settings.ca_bundle.clear();
  ExpectMessage(Refused(unknown_to_the_system, settings), {"AWS_CA_BUNDLE=FILE names others"});
}

TEST_F(ObjectTls, ACertificateForAnotherHostOrTimeIsRefused) {
  const auto nobody = [](const HttpCall&, std::size_t) { return ScriptedAnswer{}; };
  ScriptedHttpServer elsewhere(nobody, Identity({"store.lab"}));
  const Status host = Refused(elsewhere);
  EXPECT_EQ(ProcessExitCode(host), exit_code::kNotAllowed);
  ExpectMessage(host, {"for another host than the endpoint's", "127.0.0.1"});

  ScriptedHttpServer late(nobody, Identity({"127.0.0.1"}, FromHours(-48, -24)));
  const Status expired = Refused(late);
  EXPECT_EQ(ProcessExitCode(expired), exit_code::kNotAllowed);
  ExpectMessage(expired, {"out of date", "has expired"});

  ScriptedHttpServer early(nobody, Identity({"127.0.0.1"}, FromHours(24, 48)));
  ExpectMessage(Refused(early), {"out of date", "not yet valid"});
}

TEST_F(ObjectTls, TlsBefore12IsRefused) {
  ServerIdentity identity = Identity();
  identity.outdated = true;
  ScriptedHttpServer server([](const HttpCall&, std::size_t) { return ScriptedAnswer{}; }, identity);
  const Status status = Refused(server);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kNotAllowed);
  ExpectMessage(status, {"1.2 or later"});
}

TEST_F(ObjectTls, AServerWithoutTlsBehindHttpsIsRefused) {
  const ScriptedHttpServer server([](const HttpCall&, std::size_t) { return HttpText(400, "no such method"); });
  S3Settings settings = Settings("https://127.0.0.1:" + std::to_string(server.port()), bundle_);
  settings.retry_for = std::chrono::milliseconds(200);
  const auto facts = (*OpenS3Bucket(settings, "faces"))->Head("k");
  ASSERT_FALSE(facts);
  EXPECT_EQ(ProcessExitCode(facts.error()), exit_code::kBadSpec) << facts.error().ToString();
  ExpectMessage(facts.error(), {"HEAD s3://faces/k at " + settings.endpoint, "does not speak TLS"});
  EXPECT_EQ(server.Calls().size(), 1U);
}

TEST_F(ObjectTls, ARedirectIsNotFollowedAndNamed) {
  const ScriptedHttpServer plain([](const HttpCall&, std::size_t) { return HttpText(200, "elsewhere"); });
  for (const int status : {301, 302, 307, 308}) {
    const ScriptedHttpServer server(
        [&](const HttpCall&, std::size_t) {
          return HttpText(status, "", "Location: " + plain.endpoint() + "/faces/k\r\n");
        },
        Identity());
    const auto bytes = Open(server)->Read("k", 0, 4, "");
    ASSERT_FALSE(bytes) << status;
    EXPECT_EQ(ProcessExitCode(bytes.error()), exit_code::kBadSpec) << bytes.error().ToString();
    ExpectMessage(bytes.error(), {"http=" + std::to_string(status), plain.endpoint() + "/faces/k"});
    EXPECT_EQ(server.Calls().size(), 1U);
  }
  EXPECT_TRUE(plain.Calls().empty());
}

TEST_F(ObjectTls, AHandshakeThatStallsOrBreaksIsMadeAgainUntilAStop) {
  std::stop_source stop;
  const ScriptedHttpServer server([&](const HttpCall&, std::size_t number) {
    if (number == 3) stop.request_stop();
    return ScriptedAnswer{.bytes = "", .hang = number % 2 != 0, .abrupt = number == 2};
  });
  S3Settings settings = Settings("https://127.0.0.1:" + std::to_string(server.port()), bundle_);
  settings.stop = stop.get_token();
  settings.connect_deadline = std::chrono::milliseconds(50);
  EXPECT_EQ((*OpenS3Bucket(settings, "faces"))->Head("k").error().code(), StatusCode::kCancelled);
  EXPECT_EQ(server.Calls().size(), 4U);
}

TEST_F(ObjectTls, AHandshakeThatStallsIsGivenUp) {
  const ScriptedHttpServer server(
      [](const HttpCall&, std::size_t) { return ScriptedAnswer{.bytes = "", .hang = true}; });
  S3Settings settings = Settings("https://127.0.0.1:" + std::to_string(server.port()), bundle_);
  settings.connect_deadline = std::chrono::milliseconds(50);
  settings.retry_for = std::chrono::milliseconds(1);
  const auto facts = (*OpenS3Bucket(settings, "faces"))->Head("k");
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code(), StatusCode::kDeadlineExceeded) << facts.error().ToString();
  EXPECT_EQ(ProcessExitCode(facts.error()), exit_code::kMissingService);
}

TEST_F(ObjectTls, ABodyThatIsCutIsGoneOnFromWhereItBroke) {
  for (const bool abrupt : {true, false}) {
    const ScriptedHttpServer server(
        [&](const HttpCall& call, std::size_t number) {
          ScriptedAnswer answer = HttpPart(call, object_);
          if (number < 2) answer.bytes.resize(answer.bytes.size() - 8);
          answer.abrupt = abrupt && number < 2;
          return answer;
        },
        Identity());
    const auto bytes = Open(server)->Read("k", 10, 20, "e1");
    ASSERT_TRUE(bytes) << bytes.error().ToString();
    EXPECT_EQ(TextOf(*bytes), object_.substr(10, 20));
    std::vector<std::string> ranges;
    for (const HttpCall& call : server.Calls()) ranges.push_back(call.headers.at("range"));
    EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=10-29", "bytes=22-29", "bytes=22-29"}));
  }
}

// libcurl takes an answer without a length for whole, farewell or not.
TEST_F(ObjectTls, AnAnswerWithoutALengthThatIsCutIsAskedForAgain) {
  const ScriptedHttpServer server(
      [](const HttpCall&, std::size_t number) {
        const std::string begin = "<ListBucketResult><Contents><Key>k</Key><Size>1</Size></Contents>";
        if (number == 0)
          return ScriptedAnswer{.bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + begin, .abrupt = true};
        return HttpText(200, begin + "<Contents><Key>l</Key><Size>1</Size></Contents></ListBucketResult>");
      },
      Identity());
  const auto page = Open(server)->List("", "");
  ASSERT_TRUE(page) << page.error().ToString();
  EXPECT_EQ(page->objects.size(), 2U);
  EXPECT_EQ(server.Calls().size(), 2U);
}

}  // namespace
}  // namespace ferment::io
