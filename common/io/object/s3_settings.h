// SPDX-License-Identifier: Apache-2.0
//
// Where an S3-compatible store is, how it is asked, and with whose key: from a file and a few environment variables.
#pragma once

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "common/io/object/s3_signature.h"

namespace ferment::io {

enum class S3Addressing {
  /// https://HOST/BUCKET/KEY: every store of one's own.
  kPath,
  /// https://BUCKET.HOST/KEY: what AWS wants.
  kVirtualHost,
};

struct S3Settings {
  /// Such as https://minio.lab:9000; without a path.
  std::string endpoint;
  std::string region = "us-east-1";
  S3Addressing addressing = S3Addressing::kPath;
  /// AWS's file of shared credentials, and the section of it. Read again when the store refuses what is in use.
  std::filesystem::path credentials_file;
  std::string profile = "default";
  /// Certificates to trust in place of the system's; may be empty. A file put in its place counts from the next
  /// connection on.
  std::filesystem::path ca_bundle;
  /// How long one request may take: 8 MiB at 140 kB/s.
  std::chrono::milliseconds request_deadline = std::chrono::minutes(1);
  std::chrono::milliseconds connect_deadline = std::chrono::seconds(10);
  /// How long a request without progress is made again, with pauses drawn up to `longest_pause`.
  std::chrono::milliseconds retry_for = std::chrono::minutes(2);
  std::chrono::milliseconds first_pause{100};
  std::chrono::milliseconds longest_pause = std::chrono::seconds(5);
  /// Once requested, requests end at once with Cancelled, those in their course too.
  std::stop_token stop = {};
};

/// Reads the environment: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION, AWS_PROFILE,
/// AWS_SHARED_CREDENTIALS_FILE, AWS_CA_BUNDLE, FERMENT_S3_ADDRESSING (path, virtual), FERMENT_S3_INSECURE; what it does
/// not say, the profile's `endpoint_url` and `region` do. Keys themselves are never taken from the environment.
/// Errors: InvalidArgument (64) for a value out of its range, and for http:// to another machine without
/// FERMENT_S3_INSECURE=true; those of CheckCaBundle.
Result<S3Settings> S3SettingsFromEnvironment();

/// Returns: the keys of a section of the file, `aws_access_key_id`, `aws_secret_access_key` and `aws_session_token`.
/// Errors: NotFound, PermissionDenied; InvalidArgument (64) where the section or one of its keys is missing. No message
/// has a word of the file.
Result<S3Credentials> ReadS3Credentials(const std::filesystem::path& file, const std::string& profile);

}  // namespace ferment::io
