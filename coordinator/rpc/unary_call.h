// SPDX-License-Identifier: Apache-2.0
//
// A unary call of gRPC's callback interface, from its handler to its answer.
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

/// `field`: of the request, where an InvalidArgument is about one.
inline rpc::CallSubject AboutRun(const std::string& run_id, const std::string& field = "") {
  return {"ferment.v1.Run", run_id, field};
}

/// A call whose request has been admitted. The context and the response live until it has ended, and so does the
/// request's share.
class UnaryCall {
 public:
  UnaryCall(grpc::CallbackServerContext& context, RequestDoor::Share share)
      : context_(context), share_(std::move(share)) {}

  /// What an error of this call is about, from here on.
  void About(rpc::CallSubject subject) { subject_ = std::move(subject); }
  const rpc::CallSubject& subject() const { return subject_; }
  /// Returns: `checked`, about this field where it is an error.
  Status OfField(const std::string& field, Status checked) {
    if (!checked.ok()) subject_.field = field;
    return checked;
  }

  /// Returns: what ends the call with the status that it gets.
  Then<Status> End() const {
    return {[call = context_.DefaultReactor(), share = share_, subject = subject_](const Status& status) {
              call->Finish(rpc::ToGrpc(status, subject));
            },
            [&context = context_] { return context.IsCancelled(); }};
  }

  /// Returns: the same, after `fill` has put the answer into the response.
  template <typename Value, typename Fill>
  Then<Result<Value>> Answer(Fill fill) const {
    return {[call = context_.DefaultReactor(), share = share_, subject = subject_,
             fill = std::move(fill)](const Result<Value>& answer) {
              if (answer) fill(*answer);
              call->Finish(answer ? grpc::Status::OK : rpc::ToGrpc(answer.error(), subject));
            },
            [&context = context_] { return context.IsCancelled(); }};
  }

 private:
  grpc::CallbackServerContext& context_;
  const RequestDoor::Share share_;
  rpc::CallSubject subject_;
};

/// What a handler does: takes the request through the door and lets `ask` hand a question to the scheduler, with
/// call.End() or call.Answer() as what becomes of the answer. `ask` returns why it did not ask, which ends the call.
template <typename Request, typename Ask>
grpc::ServerUnaryReactor* Serve(RequestDoor& door, RequestKind kind, grpc::CallbackServerContext& context,
                                const Request* received, Ask ask) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  auto admitted = door.Admit(kind, received);
  if (!admitted) {
    reactor->Finish(rpc::ToGrpc(admitted.error().why, {.field = admitted.error().field}));
    return reactor;
  }
  UnaryCall call(context, std::move(admitted->share));
  const Status asked = ask(std::as_const(admitted->request), call);
  if (!asked.ok()) reactor->Finish(rpc::ToGrpc(asked, call.subject()));
  return reactor;
}

}  // namespace ferment::coordinator
