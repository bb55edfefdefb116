// SPDX-License-Identifier: Apache-2.0
//
// What gRPC says of itself, in our log.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace ferment::rpc {

/// From now on gRPC's words are lines `grpc` of the log, in place of lines of their own form on standard error: errors
/// as warnings, ten in ten seconds, since each stranger at a port who does not speak TLS makes one; what
/// GRPC_VERBOSITY asks for besides, all of it. For the whole process. Thread: any.
void LogWhatGrpcSays();

/// The first few lines of each span of time. Thread: one at a time.
class LineLimit {
 public:
  LineLimit(int lines, std::chrono::steady_clock::duration span) : lines_(lines), span_(span) {}

  /// Returns: how many were left out since the last that was not; nothing: this one is left out.
  std::optional<std::uint64_t> Take(std::chrono::steady_clock::time_point now);

 private:
  const int lines_;
  const std::chrono::steady_clock::duration span_;
  std::chrono::steady_clock::time_point begun_;
  int taken_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace ferment::rpc
