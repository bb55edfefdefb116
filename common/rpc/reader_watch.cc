// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/reader_watch.h"

#include <grpcpp/server_context.h>

#include <list>
#include <optional>
#include <string>
#include <thread>

#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "common/rpc/grpc_status.h"

namespace ferment::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;
using Clock = std::chrono::steady_clock;

/// Calls that are sending something. Thread: any.
class Senders {
 public:
  struct Sender {
    ServerRpcInfo* call = nullptr;
    Clock::time_point since;
    bool cut_off = false;
  };
  using Handle = std::list<Sender>::iterator;

  explicit Senders(std::chrono::milliseconds unread)
      : unread_(unread), watch_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            const MutexLock lock(mutex_);
            wake_.wait_for(mutex_, stop, unread_ / 8, [] { return false; });
            CutOffSlow();
          }
        }) {}

  Handle Add(ServerRpcInfo& call) {
    const MutexLock lock(mutex_);
    return senders_.insert(senders_.end(), {&call, Clock::now()});
  }
  void Remove(Handle sender) {
    const MutexLock lock(mutex_);
    senders_.erase(sender);
  }

 private:
  void CutOffSlow() FERMENT_REQUIRES(mutex_) {
    const auto now = Clock::now();
    for (Sender& sender : senders_) {
      if (now - sender.since < unread_) return;  // they are in order
      if (std::exchange(sender.cut_off, true)) continue;
      LogWarning("rpc.cut_off", {{"method", sender.call->method()},
                                 {"peer", sender.call->server_context()->peer()},
                                 {"unread_ms", unread_.count()}});
      sender.call->server_context()->TryCancel();
    }
  }

  const std::chrono::milliseconds unread_;
  Mutex mutex_;
  CondVar wake_;
  std::list<Sender> senders_ FERMENT_GUARDED_BY(mutex_);
  std::jthread watch_;
};

class ReaderWatch final : public grpc::experimental::Interceptor {
 public:
  ReaderWatch(ServerRpcInfo& call, Senders& senders) : call_(call), senders_(senders) {}
  ~ReaderWatch() override { Sent(); }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE)) {
      unreadable_ = methods->GetRecvMessage() == nullptr;
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_SEND_MESSAGE)) Sent();
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE)) Sending();
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      Sending();
      const grpc::Status status = methods->GetSendStatus();
      if (const Status meant = Meant(status); !meant.ok()) methods->ModifySendStatus(ToGrpc(meant));
    }
    methods->Proceed();
  }

 private:
  /// Returns: what is to be said in place of a status that gRPC makes by itself; ok: nothing.
  Status Meant(const grpc::Status& status) const {
    if (!status.error_details().empty()) return {};
    if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
      return ResourceExhaustedError("too many calls at a time; come back in a moment");
    }
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED && unreadable_) {
      return InvalidArgumentError("the request is no message of its method: method=" + std::string(call_.method()));
    }
    return {};
  }
  void Sending() {
    if (!sender_) sender_ = senders_.Add(call_);
  }
  void Sent() {
    if (sender_) senders_.Remove(*sender_);
    sender_.reset();
  }

  ServerRpcInfo& call_;
  Senders& senders_;
  std::optional<Senders::Handle> sender_;
  bool unreadable_ = false;
};

class ReaderWatchFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ReaderWatchFactory(std::chrono::milliseconds unread) : senders_(unread) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    // gRPC takes it over, and deletes it with the call.
    return new ReaderWatch(*info, senders_);
  }

 private:
  Senders senders_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeReaderWatch(
    std::chrono::milliseconds unread) {
  return std::make_unique<ReaderWatchFactory>(unread);
}

}  // namespace ferment::rpc
