// SPDX-License-Identifier: Apache-2.0
//
// Cuts off calls whose client does not take its answer, and says of those that gRPC itself refuses why, and when to
// come back.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <chrono>
#include <memory>

namespace ferment::rpc {

/// Returns: an interceptor factory for a ServerBuilder. A message or an answer that cannot be sent for `unread`, since
/// the client's window stays shut, ends the call: it would hold its memory, and a synchronous service's thread, for as
/// long as the client likes. RESOURCE_EXHAUSTED without details, which gRPC answers where its threads are all at work,
/// gets a RetryInfo; UNIMPLEMENTED, its answer to bytes that are no message of the request's type, is INVALID_ARGUMENT.
/// Put it before what tells of calls.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeReaderWatch(
    std::chrono::milliseconds unread);

}  // namespace ferment::rpc
