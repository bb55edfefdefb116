// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_channel.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <optional>
#include <random>
#include <thread>

#include "common/base/backoff.h"
#include "common/base/mutex.h"
#include "common/rpc/credentials/tls_credentials.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/listen_address.h"
#include "common/rpc/lock_checks.h"

namespace ferment::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Returns: how long to wait at least before the call is made again; nothing where that would not help.
std::optional<milliseconds> WaitBeforeRetry(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return milliseconds(0);
  }
  return RetryDelayOf(status);
}

void PauseOrStop(milliseconds pause, const std::stop_token& stop) {
  Mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, pause, [] { return false; });
}

/// Sees to the process's connections while nobody is inside of a call. gRPC only looks at its sockets in threads that
/// wait for something, and every five seconds besides: between calls that fail at once, a TLS handshake of several
/// round trips would never come to its end in time, and pings would go unanswered.
class ConnectionTender {
 public:
  ConnectionTender()
      : thread_([this] {
          void* tag = nullptr;
          bool ok = false;
          while (queue_.Next(&tag, &ok)) {
          }
        }) {}
  ~ConnectionTender() { queue_.Shutdown(); }
  ConnectionTender(const ConnectionTender&) = delete;
  ConnectionTender& operator=(const ConnectionTender&) = delete;

 private:
  /// Nothing is ever put into it.
  grpc::CompletionQueue queue_;
  std::jthread thread_;
};

std::shared_ptr<grpc::Channel> Open(const std::string& address,
                                    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  // gRPC waits up to two minutes between connection attempts by default; a restarted coordinator is back sooner.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  // How long an attempt may take, its handshake too: a far or busy coordinator needs more than a second.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // A proxy of the environment must not see calls to a coordinator beside us.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A call that met a connection which the server was just ending never reached a service, and gRPC sends it over
  // another one. Of retries it knows no more: whether a call that may have been served is made again is for
  // CallWithRetry to decide, so no policy may come from the name service either.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 1);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  EndLockChecks();
  LogWhatGrpcSays();
  auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
  return {channel.get(), [channel, tender = std::make_shared<ConnectionTender>()](grpc::Channel*) mutable {
            channel.reset();
            tender.reset();
          }};
}

}  // namespace

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address) {
  return Open(address, grpc::InsecureChannelCredentials());
}

Result<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address, const CredentialPaths& paths) {
  FERMENT_ASSIGN_OR_RETURN(const ListenAddress place, ParseListenAddress(address));
  if (place.port == 0) {
    return Fail(InvalidArgumentError("nobody listens on port 0; allowed: 1 to 65535: address=" + address)
                    .WithExitCode(exit_code::kUsage));
  }
  FERMENT_ASSIGN_OR_RETURN(const auto credentials, MakeChannelCredentials(paths));
  return Open(address, credentials);
}

grpc::Status CallOnce(milliseconds deadline, const std::stop_token& stop,
                      const std::function<grpc::Status(grpc::ClientContext&)>& attempt) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline);
  grpc::Status status;
  {
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    status = attempt(context);
  }
  if (status.error_code() != grpc::StatusCode::CANCELLED || stop.stop_requested()) return status;
  return {grpc::StatusCode::UNAVAILABLE, "the server ended the call: " + status.error_message()};
}

Status CallWithRetry(const CallOptions& options, const std::function<grpc::Status(grpc::ClientContext&)>& attempt) {
  const auto give_up = steady_clock::now() + options.retry_for;
  bool told = false;
  std::optional<Backoff> backoff;  // of the first failure on: a virtual machine takes 0.1 ms to seed it
  for (;;) {
    if (options.stop.stop_requested()) return CancelledError("asked to stop before the call");
    const grpc::Status status = CallOnce(options.deadline, options.stop, attempt);
    if (status.ok()) return {};
    const auto wait = WaitBeforeRetry(status);
    if (!wait) return FromGrpc(status);
    // The backoff is drawn at random: those whom a full service sent away do not come back together.
    if (!backoff) backoff.emplace(options.first_pause, options.longest_pause, std::random_device{}());
    const milliseconds pause = backoff->Next() + *wait;
    if (steady_clock::now() + pause >= give_up) return FromGrpc(status);
    if (options.on_wait && !told && status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) {
      options.on_wait(FromGrpc(status));
      told = true;
    }
    PauseOrStop(pause, options.stop);
  }
}

}  // namespace ferment::rpc
