// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/call_watch.h"

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include "common/rpc/grpc_status.h"

namespace ferment::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// Ids of ours are shorter by far. What waits holds this, and the audit log has it in a line.
constexpr std::size_t kMostOfAnId = 200;

/// Returns: the field run_id of a message, or that of its lease key; empty where it has neither.
std::string RunOf(const google::protobuf::Message& message) {
  const auto* type = message.GetDescriptor();
  const auto* reflection = message.GetReflection();
  const auto* run = type->FindFieldByName("run_id");
  if (run != nullptr && run->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING && !run->is_repeated()) {
    return reflection->GetString(message, run).substr(0, kMostOfAnId);
  }
  const auto* key = type->FindFieldByName("key");
  const bool nested = key != nullptr && key->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE &&
                      !key->is_repeated() && reflection->HasField(message, key);
  return nested ? RunOf(reflection->GetMessage(message, key)) : std::string();
}

class CallWatch final : public grpc::experimental::Interceptor {
 public:
  CallWatch(ServerRpcInfo& info, const MethodAccess* access, const Authenticator* authenticator, const CallSink& sink)
      : info_(info), access_(access), authenticator_(authenticator), sink_(sink) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE)) {
      Look(methods->GetRecvMessage());
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      Look(methods->GetSendMessage());
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      Tell(FromGrpc(methods->GetSendStatus()));
    }
    methods->Proceed();
  }

 private:
  /// gRPC hands messages over without their type: those of our methods are protobuf messages, those of the health
  /// service, which has no rule of its own, are not.
  void Look(const void* message) {
    if (message == nullptr || access_ == nullptr || access_->open || !run_.empty()) return;
    run_ = RunOf(*static_cast<const google::protobuf::Message*>(message));
  }

  void Tell(const Status& outcome) {
    CallRecord record{.method = access_ == nullptr ? "unknown" : access_->path.substr(1), .who = "local"};
    record.run = run_;
    record.outcome = outcome;
    record.duration = std::chrono::steady_clock::now() - begin_;
    record.audited = access_ != nullptr && access_->audited;
    record.stream = info_.type() != ServerRpcInfo::Type::UNARY;
    if (authenticator_ != nullptr) {
      grpc::ServerContextBase& context = *info_.server_context();
      const auto caller = authenticator_->WhoMade(*context.auth_context(), context.client_metadata());
      record.who = caller ? caller->who : "";
      record.role = caller ? RoleName(caller->role) : "";
    }
    sink_(record);
  }

  ServerRpcInfo& info_;
  const MethodAccess* const access_;
  const Authenticator* const authenticator_;
  const CallSink& sink_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::string run_;
};

class CallWatchFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallWatchFactory(const AccessPolicy& policy, const Authenticator* authenticator, CallSink sink)
      : policy_(policy), authenticator_(authenticator), sink_(std::move(sink)) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    // gRPC takes it over, and deletes it with the call.
    return new CallWatch(*info, policy_.Find(info->method()), authenticator_, sink_);
  }

 private:
  const AccessPolicy& policy_;
  const Authenticator* const authenticator_;
  const CallSink sink_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallWatch(const AccessPolicy& policy,
                                                                                     const Authenticator* authenticator,
                                                                                     CallSink sink) {
  return std::make_unique<CallWatchFactory>(policy, authenticator, std::move(sink));
}

}  // namespace ferment::rpc
