// SPDX-License-Identifier: Apache-2.0
//
// Starts a gRPC server with the settings that every one of ours shares, and stops it in order.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "common/base/result.h"
#include "common/rpc/access_policy.h"
#include "common/rpc/call_guard.h"
#include "common/rpc/connection_gate.h"
#include "common/rpc/credentials/authenticator.h"
#include "common/rpc/credentials/credential_paths.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace ferment::rpc {

/// TLS, and who is let in.
struct ServerSecurity {
  CredentialPaths paths;
  Authenticator authenticator;
  RefusalLimit refusals = {};

  /// `tokens` may be empty: certificates only. Errors: those of CheckCredentials, TrustDomainOf and TokenFile::Open;
  /// InvalidArgument with exit code 2 where `paths` names no certificate.
  static Result<std::unique_ptr<ServerSecurity>> Open(const CredentialPaths& paths, const std::filesystem::path& tokens,
                                                      const Clock& clock);
};

struct GrpcServerConfig {
  /// Port 0 takes any free one; see GrpcServer::address.
  std::string listen = "127.0.0.1:0";
  /// Lets a server without TLS listen where other machines can reach it.
  bool insecure = false;
  /// Bulk data never travels over RPC. What is read takes up to 40 times as much memory, on each thread that reads
  /// (half as many as cores, 2 to 16): the largest honest request, of 65,536 ranks, has 0.5 MiB.
  int max_request_bytes = 640 << 10;
  /// 20,000 letters of shard grid a job fit many times.
  int max_response_bytes = 4 << 20;
  /// Calls of one connection at a time; a client that has more to say waits.
  int max_concurrent_streams = 128;
  ConnectionLimits connections = {};
  ConnectionSink on_connections = {};
  /// Threads that read requests of synchronous services at most; the coordinator has none but reflection.
  int max_pollers = 8;
  /// All threads of synchronous services, and bytes that gRPC buffers for all connections: past them a call is refused
  /// or not read on.
  int max_threads = 1024;
  std::size_t max_buffered_bytes = std::size_t{128} << 20;
  /// A connection that does not finish its TLS and HTTP/2 greeting in this time is closed.
  std::chrono::milliseconds handshake_limit{10'000};
  /// A connection without a call for this long is ended in good order; its client connects anew for its next call.
  std::chrono::milliseconds max_connection_idle{std::chrono::minutes(5)};
  /// An answer that a client does not take for this long ends its call.
  std::chrono::milliseconds unread_limit{30'000};
  /// With TLS a connection is ended in good order at this age, so that a certificate that has expired or is no longer
  /// trusted is not used for ever; clients connect anew and lose no call.
  std::chrono::milliseconds max_connection_age{std::chrono::hours(1)};
  /// Null: without TLS, and everybody may do everything. It outlives the server.
  const ServerSecurity* security = nullptr;
  /// Who may call what, and what is told of calls; both outlive the server. Required with `security`; without them
  /// nothing is told.
  const AccessPolicy* policy = nullptr;
  CallSink on_call = {};
  /// Answers grpc.reflection.v1alpha, which tells clients what can be called.
  bool reflection = false;
};

/// Serves from Start until Shutdown; has grpc.health.v1 from the start, under "" and each service of the policy.
///
/// Thread: any. Owns: the server; the services outlive it.
class GrpcServer {
 public:
  /// Requires: at least one service. Errors: InvalidArgument (malformed address), FailedPrecondition (not loopback,
  /// without TLS and not insecure), those of MakeServerCredentials, Unavailable with exit code 69 (the port is bound by
  /// another program, or the host is not this machine's).
  static Result<std::unique_ptr<GrpcServer>> Start(const GrpcServerConfig& config,
                                                   std::span<grpc::Service* const> services);
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  /// Returns: "host:port" with the port that was taken.
  const std::string& address() const { return address_; }
  /// What grpc.health.v1 answers; say false before draining.
  void SetServing(bool serving);
  /// Refuses new calls, waits for running ones until `grace` is over, cancels the rest. A second call does nothing.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  GrpcServer(std::unique_ptr<grpc::Server> server, std::unique_ptr<ConnectionGate> gate, std::string address,
             std::set<std::string> services);

  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<ConnectionGate> gate_;
  std::string address_;
  std::set<std::string> services_;
};

}  // namespace ferment::rpc
