// SPDX-License-Identifier: Apache-2.0
//
// One HTTP request and its answer, however far it came: the file that knows libcurl.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace ferment::io {

struct HttpRequest {
  std::string method;
  std::string url;
  /// Names in lower case; `host` is taken from the URL.
  std::map<std::string, std::string> headers;
  std::span<const std::byte> body;
  /// An answer of more is cut off there, and fails.
  std::uint64_t max_body_bytes = 0;
};

struct HttpAnswer {
  /// 0: none came.
  int status = 0;
  /// Names in lower case.
  std::map<std::string, std::string> headers;
  /// What came, also where it is not all.
  std::vector<std::byte> body;
  /// Not ok where the answer is not complete: Unavailable (no connection, a broken one, or libcurl fails),
  /// DeadlineExceeded (too slow), PermissionDenied (the server's certificate, or TLS before 1.2), InvalidArgument (no
  /// TLS behind https://, or no certificates to trust), OutOfRange (more than max_body_bytes), Cancelled (asked to
  /// stop).
  Status transport;

  /// Returns: the header's value, "" where there is none.
  std::string Header(const std::string& name) const;
};

/// Keeps connections open between requests. Follows no redirect, trusts no certificate that the system (or, in its
/// place, `ca_bundle`) does not. https:// goes through the proxy that HTTPS_PROXY names, http:// through none. Thread:
/// any.
class HttpClient {
 public:
  struct Options {
    std::chrono::milliseconds connect_deadline;
    /// Of the whole request.
    std::chrono::milliseconds deadline;
    std::filesystem::path ca_bundle;
    /// Ends what is under way at once, and all that comes later.
    std::stop_token stop = {};
  };
  explicit HttpClient(Options options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpAnswer Perform(const HttpRequest& request);

 private:
  class Pool;
  const Options options_;
  const std::unique_ptr<Pool> pool_;
};

}  // namespace ferment::io
