// SPDX-License-Identifier: Apache-2.0
//
// Starts a gRPC server with the settings that every one of ours shares, and stops it in order.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "common/base/result.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace ferment::rpc {

struct GrpcServerConfig {
  /// Port 0 takes any free one; see GrpcServer::address.
  std::string listen = "127.0.0.1:0";
  /// Lets a server without TLS listen where other machines can reach it.
  bool insecure = false;
  /// Bulk data never travels over RPC; a spec and 20,000 letters of shard grid fit many times.
  int max_message_bytes = 4 << 20;
  int max_concurrent_streams = 1024;
  /// Threads that read requests of synchronous services at most; a stream that is being watched holds one.
  int max_pollers = 8;
};

/// Serves from Start until Shutdown; has grpc.health.v1 under "" from the start.
///
/// Thread: any. Owns: the server; the services outlive it.
class GrpcServer {
 public:
  /// Requires: at least one service. Errors: InvalidArgument (malformed address), FailedPrecondition (not loopback and
  /// not insecure), Unavailable with exit code 69 (the port is bound by another program, or the host is not this
  /// machine's).
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
  GrpcServer(std::unique_ptr<grpc::Server> server, std::string address);

  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace ferment::rpc
