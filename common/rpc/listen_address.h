// SPDX-License-Identifier: Apache-2.0
//
// Reads and checks HOST:PORT addresses of servers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ferment::rpc {

/// Where a coordinator serves unless told otherwise, and `ferment doctor` looks whether it can: gRPC; metrics, probes
/// and page.
inline constexpr const char* kDefaultGrpcAddress = "127.0.0.1:50400";
inline constexpr const char* kDefaultAdminAddress = "127.0.0.1:50401";

/// A value. An IPv6 host is held without its brackets.
struct ListenAddress {
  std::string host;
  std::uint16_t port = 0;

  /// True for 127.0.0.0/8, ::1 and localhost.
  bool IsLoopback() const;
  /// Returns: "host:port", an IPv6 host in brackets.
  std::string ToString() const;
};

/// Returns: the parts of "HOST:PORT" or "[V6]:PORT". Errors: InvalidArgument (exit code 2) naming what is wrong.
Result<ListenAddress> ParseListenAddress(std::string_view text);

/// Returns: FailedPrecondition (exit code 77) where others than this machine could reach a server without TLS and
/// `insecure` was not asked for.
Status RefuseOpenAddress(const ListenAddress& address, bool insecure);

}  // namespace ferment::rpc
