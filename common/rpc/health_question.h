// SPDX-License-Identifier: Apache-2.0
//
// Asks a server of any kind, through grpc.health.v1, whether it serves.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/rpc/grpc_channel.h"

namespace ferment::rpc {

/// `service`: a full name such as "ferment.v1.RunService"; "" is the server as a whole. Returns: whether it serves: no
/// while it drains or does not lead. Errors: NotFound (the server has no such service); those of CallWithRetry.
Result<bool> AskWhetherServing(const std::shared_ptr<grpc::Channel>& channel, const std::string& service,
                               const CallOptions& options);

}  // namespace ferment::rpc
