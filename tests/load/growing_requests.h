// SPDX-License-Identifier: Apache-2.0
//
// Requests that are small on the wire and large once they are read.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ferment::load {

/// GrpcServerConfig::max_request_bytes.
constexpr std::size_t kMostBytesOfAMessage = 640 << 10;

struct GrowingRequest {
  /// "/ferment.v1.RunService/GetRun".
  std::string method;
  std::string bytes;
};

/// Returns: for a method of each kind a request of at most this many bytes and hardly fewer. Each is a list of empty
/// entries, or fields that the message does not have: two bytes there, 32 and more once read.
std::vector<GrowingRequest> GrowingRequests(std::size_t bytes);

}  // namespace ferment::load
