// SPDX-License-Identifier: Apache-2.0
//
// Opens channels and makes calls that have a deadline and, where asked for, patience.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "common/rpc/credentials/credential_paths.h"

namespace ferment::rpc {

/// How long a call may take and how long it is tried again.
struct CallOptions {
  /// Of each attempt.
  std::chrono::milliseconds deadline{5'000};
  /// From the first attempt on; UNAVAILABLE, DEADLINE_EXCEEDED, and whatever comes with a RetryInfo
  /// (RESOURCE_EXHAUSTED) after what that asks for, are tried again until it is over. 0: one attempt.
  std::chrono::milliseconds retry_for{0};
  std::chrono::milliseconds first_pause{100};
  std::chrono::milliseconds longest_pause{2'000};
  /// Cancels the running attempt and ends the waiting between attempts.
  std::stop_token stop = {};
  /// Told once, of the first attempt that failed and is followed by another; not of a full server, which asked for
  /// that.
  std::function<void(const Status&)> on_wait = {};
};

/// Returns: a channel without TLS that reconnects within a second of the server's return. Connects when first used.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address);
/// The same with TLS where `paths` says so. Errors: those of CheckCredentials; InvalidArgument (exit 2) for an address
/// that is not HOST:PORT.
Result<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address, const CredentialPaths& paths);

/// Makes one attempt at a call, unary or a stream, which `stop` cancels. `attempt` gets a fresh context with its
/// deadline set. Returns: how it ended; a CANCELLED that nobody here asked for, as of a server that is shut down, is
/// UNAVAILABLE. Thread: any.
grpc::Status CallOnce(std::chrono::milliseconds deadline, const std::stop_token& stop,
                      const std::function<grpc::Status(grpc::ClientContext&)>& attempt);

/// Makes one call, again and again as `options` says, each time as CallOnce. `attempt` must be safe to repeat: every
/// request of ours carries a request id or a lease key. Returns: the last attempt's outcome,
/// or Cancelled when asked to stop. Thread: any.
Status CallWithRetry(const CallOptions& options, const std::function<grpc::Status(grpc::ClientContext&)>& attempt);

/// CallUnary(*stub, &v1::RunService::Stub::GetRun, request, {.retry_for = 10s})
template <typename Stub, typename Method, typename Request>
auto CallUnary(Stub& stub, Method method, const Request& request, const CallOptions& options = {});

namespace internal {
template <typename Stub, typename Request, typename Response>
Response ResponseOf(grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*));
}  // namespace internal

template <typename Stub, typename Method, typename Request>
auto CallUnary(Stub& stub, Method method, const Request& request, const CallOptions& options) {
  using Response = decltype(internal::ResponseOf(method));
  Response response;
  Status status = CallWithRetry(options, [&](grpc::ClientContext& context) {
    response.Clear();
    return (stub.*method)(&context, request, &response);
  });
  if (!status.ok()) return Result<Response>(Fail(std::move(status)));
  return Result<Response>(std::move(response));
}

}  // namespace ferment::rpc
