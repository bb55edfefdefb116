// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/http_client.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <semaphore>

#include "tests/support/scripted_http_server.h"

namespace ferment::io {
namespace {

using ferment::testing::HttpCall;
using ferment::testing::HttpText;
using ferment::testing::ScriptedAnswer;
using ferment::testing::ScriptedHttpServer;

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

}  // namespace
}  // namespace ferment::io
