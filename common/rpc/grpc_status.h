// SPDX-License-Identifier: Apache-2.0
//
// Carries a Status over gRPC and back: code, message and, where one was named, the process exit code.
#pragma once

#include <grpcpp/support/status.h>

#include "common/base/status.h"

namespace ferment::rpc {

grpc::Status ToGrpc(const Status& status);
Status FromGrpc(const grpc::Status& status);

}  // namespace ferment::rpc
