// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/io/object/http_client.h"
#include "common/io/object/object_url.h"
#include "common/io/object/s3_answer.h"
#include "common/io/object/s3_settings.h"
#include "tests/fuzz/fuzz_file.h"
#include "tests/support/scripted_http_server.h"

namespace ferment::io {
namespace {

constexpr std::uint64_t kMostBytes = 4096;

HttpAnswer Hear(const std::string& bytes) {
  static std::string said;
  static const testing::ScriptedHttpServer server([](const testing::HttpCall&, std::size_t) {
    return testing::ScriptedAnswer{said, false, false};
  });
  static HttpClient client({std::chrono::seconds(2), std::chrono::seconds(2), {}, {}});
  said = bytes;
  return client.Perform(
      {.method = "GET", .url = server.endpoint() + "/b/k", .headers = {}, .body = {}, .max_body_bytes = kMostBytes});
}

void CheckShown(std::string_view message) {
  FERMENT_CHECK(std::none_of(message.begin(), message.end(), [](char c) { return c >= 0 && c < ' '; })) << message;
}

void CheckCredentials(const std::uint8_t* data, std::size_t size) {
  const auto credentials = ReadS3Credentials(FolderWith("credentials", data, size) / "credentials", "default");
  FERMENT_CHECK(credentials ? !credentials->access_key.empty() && !credentials->secret_key.empty()
                            : credentials.error().code() == StatusCode::kInvalidArgument)
      << credentials.error().message();
}

}  // namespace
}  // namespace ferment::io

// Any bytes as what a store says to a request: an answer or a named failure, its list a page or damage, and its words
// fit for one line of a log. As a place they are one that reads back as itself, as a file of keys whole or refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const io::HttpAnswer answer = io::Hear(text);
  const bool refused = answer.status >= 300;
  FERMENT_CHECK(answer.body.size() <= (refused ? 64U << 10 : io::kMostBytes)) << answer.body.size();
  io::EtagIn(answer);
  io::RangeBegin(answer);
  io::IsPassing(answer);
  if (answer.transport.ok()) {
    const Status failure = io::S3Failure(answer, WallTime());
    FERMENT_CHECK(!failure.ok());
    io::CheckShown(failure.message());
  }
  const std::string_view body(reinterpret_cast<const char*>(answer.body.data()), answer.body.size());
  for (const std::string_view document : {body, std::string_view(text)}) {
    const auto page = io::ParseObjectPage(document);
    FERMENT_CHECK(page || page.error().code() == StatusCode::kDataLoss) << page.error().message();
  }
  io::CheckCredentials(data, size);
  if (const auto url = io::ParseObjectUrl(text)) {
    const auto again = io::ParseObjectUrl(url->Text());
    FERMENT_CHECK(again && *again == *url) << url->Text();
  }
  return 0;
}
