// SPDX-License-Identifier: Apache-2.0
//
// Carries a Status over gRPC and back, with details in the form that every gRPC client library reads
// (google.rpc.Status).
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <optional>

#include "common/base/status.h"

namespace ferment::rpc {

/// What a client is told to wait where a failure names no other time: an overloaded service frees room within that.
inline constexpr std::chrono::milliseconds kRetryDelay{500};

/// Details: an ErrorInfo with the code's name, the domain "ferment" and, where one was named, the process exit code;
/// and a RetryInfo where the code is RESOURCE_EXHAUSTED. Of a message past 1,500 bytes the middle is left out.
grpc::Status ToGrpc(const Status& status);
/// Details of another domain are ignored.
Status FromGrpc(const grpc::Status& status);
/// Returns: how long the service asks to wait before the call is made again, if it does.
std::optional<std::chrono::milliseconds> RetryDelayOf(const grpc::Status& status);

}  // namespace ferment::rpc
