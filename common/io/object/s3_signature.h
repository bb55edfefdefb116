// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 4: how a request shows who sent it without showing the secret.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"

namespace ferment::io {

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  /// Of temporary credentials; else empty.
  std::string session_token;

  friend bool operator==(const S3Credentials&, const S3Credentials&) = default;
};

/// Where and for what a signature counts.
struct SignatureScope {
  std::string region;
  std::string service = "s3";
};

/// What is signed. A value.
struct S3Request {
  std::string method;
  /// Begins with a slash; encoded by UriEncode.
  std::string path;
  /// Names and values as they are, not encoded.
  std::vector<std::pair<std::string, std::string>> query;
  /// Names in lower case; `host` among them.
  std::map<std::string, std::string> headers;
  /// Sha256Hex of the body.
  std::string body_sha256;
};

/// Adds x-amz-date, x-amz-security-token where there is one, and authorization over all headers.
void Sign(const S3Credentials& credentials, const SignatureScope& scope, WallTime now, S3Request& request);

enum class Slashes { kEncoded, kKept };
/// Returns: the text with all but letters, digits and -._~ as %XX.
std::string UriEncode(std::string_view text, Slashes slashes);

/// Returns: the query with names and values encoded, sorted, joined by & and =, as it is signed and sent.
std::string CanonicalQuery(const S3Request& request);

/// Returns: what the signature is over; for tests and for people who look for a wrong signature.
std::string CanonicalRequest(const S3Request& request);

}  // namespace ferment::io
