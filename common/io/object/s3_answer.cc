// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_answer.h"

#include <time.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <system_error>
#include <utility>

#include "common/io/shown_name.h"

namespace ferment::io {
namespace {

std::string_view TextOf(const HttpAnswer& answer) {
  return {reinterpret_cast<const char*>(answer.body.data()), answer.body.size()};
}

/// Returns: what is between the first <tag> and </tag> of `document`, which then begins behind it.
std::optional<std::string_view> TakeElement(std::string_view& document, std::string_view tag) {
  const std::string open = "<" + std::string(tag) + ">";
  const std::string close = "</" + std::string(tag) + ">";
  const std::size_t begin = document.find(open);
  if (begin == std::string_view::npos) return std::nullopt;
  const std::size_t end = document.find(close, begin);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view inside = document.substr(begin + open.size(), end - begin - open.size());
  document.remove_prefix(end + close.size());
  return inside;
}

std::string Unescaped(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, char>, 5> kEntities = {
      {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};
  std::string plain;
  while (!text.empty()) {
    std::size_t taken = 1;
    char character = text.front();
    for (const auto& [entity, meant] : kEntities) {
      if (!text.starts_with(entity)) continue;
      taken = entity.size();
      character = meant;
    }
    plain += character;
    text.remove_prefix(taken);
  }
  return plain;
}

/// "+" is a space there, as in forms.
std::string UrlDecoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const bool hex = text[i] == '%' && i + 2 < text.size() &&
                     std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr == text.data() + i + 3;
    plain += hex ? static_cast<char>(byte) : text[i] == '+' ? ' ' : text[i];
    if (hex) i += 2;
  }
  return plain;
}

std::string ElementText(std::string_view document, std::string_view tag) {
  const auto inside = TakeElement(document, tag);
  return inside ? Unescaped(*inside) : "";
}

bool IsRedirect(int http) { return http >= 300 && http < 400; }

StatusCode CodeOf(int http, const std::string& code) {
  if (code == "AuthorizationHeaderMalformed" || IsRedirect(http)) return StatusCode::kInvalidArgument;
  switch (http) {
    case 401:
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kNotFound;
    case 412:
      return StatusCode::kFailedPrecondition;
    case 416:
      return StatusCode::kOutOfRange;
    default:
      return StatusCode::kUnavailable;
  }
}

std::string ClockAdvice(const HttpAnswer& answer, WallTime now) {
  std::tm date = {};
  if (strptime(answer.Header("date").c_str(), "%a, %d %b %Y %H:%M:%S", &date) == nullptr)
    return "; set this machine's clock";
  const std::time_t theirs = timegm(&date);
  const auto ours = std::chrono::system_clock::to_time_t(now);
  return "; this machine's clock is " + std::to_string(std::abs(static_cast<long long>(ours - theirs))) + " s " +
         (ours < theirs ? "behind" : "ahead of") + " the store's";
}

std::string AdviceFor(const std::string& code, const HttpAnswer& answer, WallTime now) {
  if (code == "RequestTimeTooSkewed") return ClockAdvice(answer, now);
  if (code == "SignatureDoesNotMatch")
    return "; the secret key is another than the store's, or a proxy changed the request";
  if (code == "AuthorizationHeaderMalformed" || IsRedirect(answer.status)) {
    std::string region = answer.Header("x-amz-bucket-region");
    if (region.empty()) region = ElementText(TextOf(answer), "Region");
    if (!region.empty()) return "; the bucket is in " + ShownName(region) + ": set AWS_REGION";
    const std::string location = answer.Header("location");
    return location.empty() ? "; is AWS_REGION the bucket's?"
                            : "; it sends on to " + ShownName(location) +
                                  ", where nothing is asked: is AWS_ENDPOINT_URL_S3 the store itself?";
  }
  return "";
}

}  // namespace

std::string S3ErrorCode(const HttpAnswer& answer) { return ElementText(TextOf(answer), "Code"); }

std::string EtagIn(const HttpAnswer& answer) {
  const std::string etag = answer.Header("etag");
  const bool quoted = etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"');
  return quoted ? etag.substr(1, etag.size() - 2) : etag;
}

std::optional<std::uint64_t> RangeBegin(const HttpAnswer& answer) {
  constexpr std::string_view kUnit = "bytes ";
  const std::string range = answer.Header("content-range");
  if (!range.starts_with(kUnit)) return std::nullopt;
  const char* const last = range.data() + range.size();
  std::uint64_t begin = 0;
  const auto [end, error] = std::from_chars(range.data() + kUnit.size(), last, begin);
  return error == std::errc() && end != last && *end == '-' ? std::optional(begin) : std::nullopt;
}

bool IsPassing(const HttpAnswer& answer) {
  if (!answer.transport.ok()) {
    return answer.transport.code() == StatusCode::kUnavailable ||
           answer.transport.code() == StatusCode::kDeadlineExceeded;
  }
  const std::string code = S3ErrorCode(answer);
  return answer.status == 408 || answer.status == 429 || (answer.status >= 500 && answer.status != 501) ||
         code == "RequestTimeout" || code == "ConditionalRequestConflict" || code == "OperationAborted";
}

Status S3Failure(const HttpAnswer& answer, WallTime now) {
  const std::string code = S3ErrorCode(answer);
  std::string text = "http=" + std::to_string(answer.status);
  if (!code.empty()) text += " code=" + ShownName(code);
  if (const std::string said = ElementText(TextOf(answer), "Message"); !said.empty()) text += ": " + ShownName(said);
  return {CodeOf(answer.status, code), text + AdviceFor(code, answer, now)};
}

Result<ObjectPage> ParseObjectPage(std::string_view document) {
  if (document.find("<ListBucketResult") == std::string_view::npos)
    return Fail(DataLossError("not a list of objects: bytes=" + std::to_string(document.size())));
  const bool encoded = ElementText(document, "EncodingType") == "url";
  const auto name = [encoded](std::string_view text) {
    return encoded ? UrlDecoded(Unescaped(text)) : Unescaped(text);
  };
  ObjectPage page;
  if (ElementText(document, "IsTruncated") == "true") {
    page.next = ElementText(document, "NextContinuationToken");
    if (page.next.empty()) return Fail(DataLossError("a list of objects goes on without saying where"));
  }
  std::string_view rest = document;
  while (const auto object = TakeElement(rest, "Contents")) {
    const std::string size = ElementText(*object, "Size");
    std::string_view inside = *object;
    const auto key = TakeElement(inside, "Key");
    ObjectPage::Entry entry;
    const auto end = std::from_chars(size.data(), size.data() + size.size(), entry.size).ptr;
    if (!key || size.empty() || end != size.data() + size.size())
      return Fail(DataLossError("a list of objects has one without key or size"));
    entry.key = name(*key);
    page.objects.push_back(std::move(entry));
  }
  rest = document;
  while (const auto group = TakeElement(rest, "CommonPrefixes")) {
    std::string_view inside = *group;
    if (const auto prefix = TakeElement(inside, "Prefix")) page.folders.push_back(name(*prefix));
  }
  return page;
}

}  // namespace ferment::io
