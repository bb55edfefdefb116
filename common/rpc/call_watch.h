// SPDX-License-Identifier: Apache-2.0
//
// Tells of every call that reached a service: who made it, on which run, and how it ended.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "common/rpc/access_policy.h"
#include "common/rpc/call_record.h"
#include "common/rpc/credentials/authenticator.h"

namespace ferment::rpc {

/// Returns: an interceptor factory for a ServerBuilder. `authenticator` is null on a server without TLS. All outlive
/// the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallWatch(const AccessPolicy& policy,
                                                                                     const Authenticator* authenticator,
                                                                                     CallSink sink);

}  // namespace ferment::rpc
