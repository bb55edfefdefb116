// SPDX-License-Identifier: Apache-2.0
//
// The end of a unary call of gRPC's callback interface.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/rpc/grpc_status.h"
#include "coordinator/rpc/request_door.h"
#include "coordinator/scheduler/reply.h"

namespace ferment::coordinator {

inline rpc::CallSubject AboutRun(const std::string& run_id) { return {"ferment.v1.Run", run_id}; }

inline grpc::ServerUnaryReactor* FinishNow(grpc::CallbackServerContext& context, const Status& status,
                                           const rpc::CallSubject& subject = {}) {
  grpc::ServerUnaryReactor* call = context.DefaultReactor();
  call->Finish(rpc::ToGrpc(status, subject));
  return call;
}

/// Returns: what ends the call with the status that it gets. The context and the response live until then, and so does
/// the request's share.
inline Then<Status> Finish(const grpc::CallbackServerContext& context, grpc::ServerUnaryReactor* call,
                           RequestDoor::Share share, rpc::CallSubject subject = {}) {
  return {[call, share = std::move(share), subject = std::move(subject)](const Status& status) {
            call->Finish(rpc::ToGrpc(status, subject));
          },
          [&context] { return context.IsCancelled(); }};
}

/// Returns: the same, after `fill` has put the answer into the response.
template <typename Value, typename Fill>
Then<Result<Value>> Finish(const grpc::CallbackServerContext& context, grpc::ServerUnaryReactor* call,
                           RequestDoor::Share share, Fill fill, rpc::CallSubject subject = {}) {
  return {[call, share = std::move(share), fill = std::move(fill),
           subject = std::move(subject)](const Result<Value>& answer) {
            if (answer) fill(*answer);
            call->Finish(answer ? grpc::Status::OK : rpc::ToGrpc(answer.error(), subject));
          },
          [&context] { return context.IsCancelled(); }};
}

}  // namespace ferment::coordinator
