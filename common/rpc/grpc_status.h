// SPDX-License-Identifier: Apache-2.0
//
// Carries a Status over gRPC and back, with details in the form that every gRPC client library reads
// (google.rpc.Status).
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <optional>
#include <string>

#include "common/base/status.h"

namespace ferment::rpc {

/// What a client is told to wait where a failure names no other time: an overloaded service frees room within that.
inline constexpr std::chrono::milliseconds kRetryDelay{500};

/// What a call is about, for the details of its failure. Names past 200 bytes, which no client would take beside the
/// message, are left out.
struct CallSubject {
  /// Such as "ferment.v1.Run", and its name.
  std::string type = {};
  std::string name = {};
  /// Of the request, where an InvalidArgument is about one.
  std::string field = {};
};

/// Details: an ErrorInfo with the code's name, the domain "ferment" and, where one was named, the process exit code;
/// a RetryInfo where the code is RESOURCE_EXHAUSTED; and of the subject, where it is known, a ResourceInfo with
/// NOT_FOUND, a PreconditionFailure with FAILED_PRECONDITION, a BadRequest with INVALID_ARGUMENT. Of a message past
/// 1,500 bytes the middle is left out.
grpc::Status ToGrpc(const Status& status, const CallSubject& subject = {});
/// Details of another domain are ignored.
Status FromGrpc(const grpc::Status& status);
/// Returns: how long the service asks to wait before the call is made again, if it does.
std::optional<std::chrono::milliseconds> RetryDelayOf(const grpc::Status& status);

}  // namespace ferment::rpc
