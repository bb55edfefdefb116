// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_object_store.h"

#include <gtest/gtest.h>

#include <fstream>
#include <stop_token>
#include <thread>

#include "tests/support/memory_object_store.h"
#include "tests/support/scripted_http_server.h"

namespace ferment::io {
namespace {

using ferment::testing::BytesOf;
using ferment::testing::HttpCall;
using ferment::testing::HttpPart;
using ferment::testing::HttpText;
using ferment::testing::ScriptedAnswer;
using ferment::testing::ScriptedHttpServer;

std::string Error(const std::string& code) { return "<Error><Code>" + code + "</Code></Error>"; }

std::string TextOf(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What a store answers for a range of `object`; only `sent` bytes of it come.
ScriptedAnswer Part(const HttpCall& call, const std::string& object, std::size_t sent = ~std::size_t{0}) {
  ScriptedAnswer answer = HttpPart(call, object);
  const std::size_t part = answer.bytes.size() - answer.bytes.find("\r\n\r\n") - 4;
  if (sent < part) answer.bytes.resize(answer.bytes.size() - (part - sent));
  return answer;
}

class S3ObjectStoreTest : public ::testing::Test {
 protected:
  S3ObjectStoreTest() { WriteCredentials("AK", "SK"); }

  void WriteCredentials(const std::string& key, const std::string& secret) {
    std::ofstream(file_) << "[default]\naws_access_key_id=" << key << "\naws_secret_access_key=" << secret << "\n";
  }

  std::unique_ptr<ObjectStore> Open(const ScriptedHttpServer& server, std::chrono::milliseconds retry_for) {
    S3Settings settings;
    settings.endpoint = server.endpoint();
    settings.credentials_file = file_;
    settings.request_deadline = std::chrono::milliseconds(300);
    settings.retry_for = retry_for;
    settings.first_pause = settings.longest_pause = std::chrono::milliseconds(1);
    return *OpenS3Bucket(settings, "faces");
  }
  std::unique_ptr<ObjectStore> Open(const ScriptedHttpServer& server) { return Open(server, std::chrono::minutes(1)); }

  const std::filesystem::path file_ = std::filesystem::path(::testing::TempDir()) / "store-credentials";
  const std::string object_ = "0123456789abcdefghijklmnopqrstuvwxyz";
};

TEST_F(S3ObjectStoreTest, ReadsTheRangeThatIsAskedFor) {
  const ScriptedHttpServer server([this](const HttpCall& call, std::size_t) { return Part(call, object_); });
  const auto bytes = Open(server)->Read("a b/c+d", 3, 5, "e1");
  ASSERT_TRUE(bytes) << bytes.error().ToString();
  EXPECT_EQ(TextOf(*bytes), "34567");
  const auto calls = server.Calls();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].target, "/faces/a%20b/c%2Bd");
  EXPECT_EQ(calls[0].headers.at("range"), "bytes=3-7");
  EXPECT_EQ(calls[0].headers.at("if-match"), "\"e1\"");
}

TEST_F(S3ObjectStoreTest, ABrokenConnectionIsGoneOnFromWhereItBroke) {
  const ScriptedHttpServer server([this](const HttpCall& call, std::size_t number) {
    return Part(call, object_, number == 0 ? 4 : number == 1 ? 0 : number == 2 ? 7 : 99);
  });
  const auto bytes = Open(server)->Read("k", 10, 20, "e1");
  ASSERT_TRUE(bytes) << bytes.error().ToString();
  EXPECT_EQ(TextOf(*bytes), object_.substr(10, 20));
  std::vector<std::string> ranges;
  for (const HttpCall& call : server.Calls()) ranges.push_back(call.headers.at("range"));
  EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=10-29", "bytes=14-29", "bytes=14-29", "bytes=21-29"}));
}

TEST_F(S3ObjectStoreTest, ABusyStoreIsAskedAgainAndAtLastNamed) {
  const ScriptedHttpServer busy_twice([this](const HttpCall& call, std::size_t number) {
    return number < 2 ? HttpText(503, Error("SlowDown")) : Part(call, object_);
  });
  EXPECT_TRUE(Open(busy_twice)->Read("k", 0, 4, ""));
  EXPECT_EQ(busy_twice.Calls().size(), 3U);

  const ScriptedHttpServer busy([](const HttpCall&, std::size_t) { return HttpText(503, Error("SlowDown")); });
  const auto bytes = Open(busy, std::chrono::milliseconds(20))->Read("k", 0, 4, "");
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), StatusCode::kUnavailable);
  const std::string message(bytes.error().message());
  EXPECT_NE(message.find("GET s3://faces/k at " + busy.endpoint()), std::string::npos) << message;
  EXPECT_NE(message.find("http=503 code=SlowDown"), std::string::npos) << message;
  EXPECT_GT(busy.Calls().size(), 1U);
}

TEST_F(S3ObjectStoreTest, ASilentStoreRunsIntoTheDeadline) {
  const ScriptedHttpServer server([](const HttpCall&, std::size_t) {
    return ScriptedAnswer{"HTTP/1.1 206 x\r\n", true};
  });
  const auto bytes = Open(server, std::chrono::milliseconds(1))->Read("k", 0, 4, "");
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), StatusCode::kDeadlineExceeded) << bytes.error().ToString();
  EXPECT_EQ(ProcessExitCode(bytes.error()), exit_code::kMissingService);
}

TEST_F(S3ObjectStoreTest, NoStoreIsUnavailable) {
  std::unique_ptr<ObjectStore> store;
  {
    const ScriptedHttpServer gone([](const HttpCall&, std::size_t) { return ScriptedAnswer{}; });
    store = Open(gone, std::chrono::milliseconds(5));
  }
  const auto facts = store->Head("k");
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code(), StatusCode::kUnavailable) << facts.error().ToString();
}

TEST_F(S3ObjectStoreTest, AnObjectThatWasReplacedIsNotMixed) {
  const ScriptedHttpServer refuses(
      [](const HttpCall&, std::size_t) { return HttpText(412, Error("PreconditionFailed")); });
  const auto refused = Open(refuses)->Read("k", 0, 4, "e0");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kBadData);
  // A store that does not know If-Match.
  const ScriptedHttpServer ignores([this](const HttpCall& call, std::size_t) { return Part(call, object_); });
  const auto ignored = Open(ignores)->Read("k", 0, 4, "e0");
  ASSERT_FALSE(ignored);
  EXPECT_EQ(ignored.error().code(), StatusCode::kFailedPrecondition);
}

TEST_F(S3ObjectStoreTest, AStoreThatIgnoresRangesIsRefusedBeforeItFillsTheMemory) {
  const ScriptedHttpServer server(
      [](const HttpCall&, std::size_t) { return HttpText(200, std::string(1 << 20, 'x')); });
  for (const std::uint64_t offset : {0, 4}) {
    const auto bytes = Open(server)->Read("k", offset, 4, "");
    ASSERT_FALSE(bytes);
    EXPECT_EQ(bytes.error().code(), StatusCode::kUnimplemented) << bytes.error().ToString();
  }
  const ScriptedHttpServer other(
      [](const HttpCall&, std::size_t) { return HttpText(206, "abcd", "Content-Range: bytes 8-11/20\r\n"); });
  EXPECT_FALSE(Open(other)->Read("k", 0, 4, ""));
}

TEST_F(S3ObjectStoreTest, NewCredentialsInTheFileAreTakenAfterARefusal) {
  const ScriptedHttpServer server([this](const HttpCall& call, std::size_t number) {
    const bool is_new = call.headers.at("authorization").find("Credential=NEW/") != std::string::npos;
    if (number == 0) WriteCredentials("NEW", "SK2");
    return is_new ? Part(call, object_) : HttpText(403, Error("ExpiredToken"));
  });
  EXPECT_TRUE(Open(server)->Read("k", 0, 4, ""));
  EXPECT_EQ(server.Calls().size(), 2U);
}

TEST_F(S3ObjectStoreTest, ARefusalIsNotAskedAgain) {
  const ScriptedHttpServer server(
      [](const HttpCall&, std::size_t) { return HttpText(403, Error("SignatureDoesNotMatch")); });
  const auto bytes = Open(server)->Read("k", 0, 4, "");
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(server.Calls().size(), 1U);
  EXPECT_EQ(bytes.error().message().find("SK"), std::string::npos) << bytes.error().ToString();
}

TEST_F(S3ObjectStoreTest, AFirstWriteIsConditionalAndALostAnswerIsNoConflict) {
  std::string stored;
  // Stores at the first call, whose answer is lost; the second finds the object there.
  const ScriptedHttpServer server([&stored](const HttpCall& call, std::size_t) {
    if (call.method == "HEAD") {
      return ScriptedAnswer{"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"e1\"\r\nContent-Length: " +
                            std::to_string(stored.size()) + "\r\n\r\n"};
    }
    if (call.method == "GET") return Part(call, stored);
    EXPECT_EQ(call.headers.at("if-none-match"), "*");
    if (!stored.empty()) return HttpText(412, Error("PreconditionFailed"));
    stored = call.body;
    return ScriptedAnswer{};
  });
  const auto store = Open(server);
  EXPECT_TRUE(store->PutIfAbsent("k", BytesOf("label set")).ok());
  EXPECT_EQ(stored, "label set");
  const Status other = store->PutIfAbsent("k", BytesOf("label SET"));
  EXPECT_EQ(other.code(), StatusCode::kAlreadyExists) << other.ToString();
  EXPECT_EQ(store->PutIfAbsent("k", BytesOf("longer than that")).code(), StatusCode::kAlreadyExists);
}

TEST_F(S3ObjectStoreTest, AReplacementThatAnotherHasOvertakenFails) {
  const ScriptedHttpServer server([](const HttpCall& call, std::size_t) {
    if (call.method == "PUT") return HttpText(412, Error("PreconditionFailed"));
    return ScriptedAnswer{"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"e2\"\r\nContent-Length: 99\r\n\r\n"};
  });
  const auto etag = Open(server)->Replace("k", BytesOf("new"), "e1");
  ASSERT_FALSE(etag);
  EXPECT_EQ(etag.error().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(etag.error().message().find("expected=e1 found=e2"), std::string::npos) << etag.error().ToString();
}

TEST_F(S3ObjectStoreTest, AStoreThatWantsIfMatchWithoutQuotesIsHumoured) {
  const ScriptedHttpServer server([](const HttpCall& call, std::size_t) {
    if (call.method == "HEAD")
      return ScriptedAnswer{"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"e1\"\r\nContent-Length: 99\r\n\r\n"};
    if (call.headers.at("if-match") != "e1") return HttpText(412, Error("PreconditionFailed"));
    return HttpText(200, "", "ETag: \"e2\"\r\n");
  });
  const auto etag = Open(server)->Replace("k", BytesOf("new"), "e1");
  ASSERT_TRUE(etag) << etag.error().ToString();
  EXPECT_EQ(*etag, "e2");
}

TEST_F(S3ObjectStoreTest, AListGoesOnPageByPage) {
  const ScriptedHttpServer server([](const HttpCall& call, std::size_t number) {
    EXPECT_NE(call.target.find("prefix=a%2Fb%20c%2F"), std::string::npos) << call.target;
    EXPECT_EQ(call.target.find("continuation-token=t%3D%3D") != std::string::npos, number == 1) << call.target;
    const std::string more = number == 0
                                 ? "<IsTruncated>true</IsTruncated><NextContinuationToken>t==</NextContinuationToken>"
                                 : "<IsTruncated>false</IsTruncated>";
    return HttpText(200, "<ListBucketResult>" + more + "<Contents><Key>k" + std::to_string(number) +
                             "</Key><Size>1</Size></Contents></ListBucketResult>");
  });
  const auto store = Open(server);
  const auto first = store->List("a/b c/", "");
  ASSERT_TRUE(first) << first.error().ToString();
  const auto second = store->List("a/b c/", first->next);
  ASSERT_TRUE(second) << second.error().ToString();
  EXPECT_EQ(second->objects.at(0).key, "k1");
  EXPECT_EQ(second->next, "");
}

/// Stops once the server has had a call.
void ExpectCancelled(const ScriptedHttpServer& server, S3Settings settings) {
  std::stop_source stop;
  settings.endpoint = server.endpoint();
  settings.stop = stop.get_token();
  const auto store = *OpenS3Bucket(settings, "faces");
  std::jthread stopper([&] {
    while (server.Calls().empty()) std::this_thread::yield();
    stop.request_stop();
  });
  const auto facts = store->Head("k");
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code(), StatusCode::kCancelled) << facts.error().ToString();
  EXPECT_NE(facts.error().message().find("HEAD s3://faces/k"), std::string_view::npos);
  EXPECT_EQ(store->Remove("k").code(), StatusCode::kCancelled) << "what comes later, too";
}

TEST_F(S3ObjectStoreTest, AStopEndsARequestThatIsNotAnswered) {
  const ScriptedHttpServer server([](const HttpCall&, std::size_t) { return ScriptedAnswer{"", true}; });
  S3Settings settings;
  settings.credentials_file = file_;
  settings.request_deadline = settings.retry_for = std::chrono::hours(1);
  ExpectCancelled(server, settings);
}

TEST_F(S3ObjectStoreTest, AStopEndsThePauseBeforeTheNextTry) {
  const ScriptedHttpServer server([](const HttpCall&, std::size_t) { return HttpText(503, ""); });
  S3Settings settings;
  settings.credentials_file = file_;
  settings.first_pause = settings.longest_pause = std::chrono::hours(1);
  settings.retry_for = std::chrono::hours(2);
  ExpectCancelled(server, settings);
}

}  // namespace
}  // namespace ferment::io
