// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>

#include "common/base/check.h"
#include "common/io/checksum.h"

namespace ferment::io {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string HmacSha256(std::string_view key, std::string_view text) {
  std::array<unsigned char, 32> digest = {};
  unsigned int size = 0;
  const auto* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  FERMENT_CHECK(done != nullptr && size == digest.size()) << "OpenSSL has no HMAC-SHA-256";
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string Hex(std::string_view bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4U];
    text += kDigits[static_cast<unsigned char>(byte) & 15U];
  }
  return text;
}

/// Returns: such as "20130524T000000Z".
std::string AmzDate(WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> text = {};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &utc);
  return {text.data(), size};
}

/// Without spaces at the ends, and with one where there are several.
std::string Trimmed(std::string_view value) {
  std::string trimmed;
  for (const char c : value) {
    if (c == ' ' && (trimmed.empty() || trimmed.back() == ' ')) continue;
    trimmed += c;
  }
  if (trimmed.ends_with(' ')) trimmed.pop_back();
  return trimmed;
}

std::string SignedHeaders(const S3Request& request) {
  std::string names;
  for (const auto& [name, value] : request.headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

}  // namespace

std::string UriEncode(std::string_view text, Slashes slashes) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte < 0x80 && std::isalnum(byte) != 0) || c == '-' || c == '.' || c == '_' || c == '~' ||
                       (c == '/' && slashes == Slashes::kKept);
    if (plain) {
      encoded += c;
    } else {
      encoded += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
    }
  }
  return encoded;
}

std::string CanonicalQuery(const S3Request& request) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : request.query)
    parts.push_back(UriEncode(name, Slashes::kEncoded) + "=" + UriEncode(value, Slashes::kEncoded));
  std::sort(parts.begin(), parts.end());
  std::string query;
  for (const std::string& part : parts) query += (query.empty() ? "" : "&") + part;
  return query;
}

std::string CanonicalRequest(const S3Request& request) {
  std::string text = request.method + "\n" + request.path + "\n" + CanonicalQuery(request) + "\n";
  for (const auto& [name, value] : request.headers) text += name + ":" + Trimmed(value) + "\n";
  return text + "\n" + SignedHeaders(request) + "\n" + request.body_sha256;
}

void Sign(const S3Credentials& credentials, const SignatureScope& scope, WallTime now, S3Request& request) {
  const std::string date = AmzDate(now);
  const std::string day = date.substr(0, 8);
  request.headers["x-amz-date"] = date;
  if (!credentials.session_token.empty()) request.headers["x-amz-security-token"] = credentials.session_token;
  const std::string where = day + "/" + scope.region + "/" + scope.service + "/aws4_request";
  const std::string to_sign =
      std::string(kAlgorithm) + "\n" + date + "\n" + where + "\n" + Sha256Hex(CanonicalRequest(request));
  std::string key = HmacSha256("AWS4" + credentials.secret_key, day);
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")}) {
    key = HmacSha256(key, part);
  }
  const std::string signed_headers = SignedHeaders(request);
  request.headers["authorization"] = std::string(kAlgorithm) + " Credential=" + credentials.access_key + "/" + where +
                                     ", SignedHeaders=" + signed_headers +
                                     ", Signature=" + Hex(HmacSha256(key, to_sign));
}

}  // namespace ferment::io
