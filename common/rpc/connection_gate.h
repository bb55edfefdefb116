// SPDX-License-Identifier: Apache-2.0
//
// Accepts a gRPC server's connections, no more than it was told. gRPC itself takes every one until file descriptors run
// out, and then never listens again.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/result.h"
#include "common/rpc/listen_address.h"

namespace grpc::experimental {
class ExternalConnectionAcceptor;
}

namespace ferment::rpc {

struct ConnectionLimits {
  /// Of all peers, those in their greeting among them.
  int total = 2048;
  /// Of one IPv4 address, or one IPv6 network of 64 bits, so that one machine does not shut all others out.
  int per_peer = 1024;
};

struct ConnectionCounts {
  int open = 0;
  /// Since the start: closed at once because of `total`, and because of `per_peer`.
  std::uint64_t refused_full = 0;
  std::uint64_t refused_peer = 0;
};
/// Called on the gate's thread, within a second of a change.
using ConnectionSink = std::function<void(const ConnectionCounts&)>;

/// A connection past a limit is reset at once: its client sees UNAVAILABLE and comes back.
///
/// Which connections are still open is found out by looking whether their descriptors are still the same sockets,
/// since gRPC, which owns them, tells nobody. Thread: one at a time.
class ConnectionGate {
 public:
  /// Listens, and accepts nobody before Begin. Errors: Unavailable with exit code 69 (the port is taken, or the host is
  /// not this machine's).
  static Result<std::unique_ptr<ConnectionGate>> Open(const ListenAddress& address, ConnectionLimits limits,
                                                      ConnectionSink sink);
  ~ConnectionGate();
  ConnectionGate(const ConnectionGate&) = delete;
  ConnectionGate& operator=(const ConnectionGate&) = delete;

  std::uint16_t port() const { return port_; }
  /// Requires: the server of `server` has been started; it outlives Close.
  void Begin(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server);
  /// Listens no longer. A second call does nothing.
  void Close();

 private:
  using Clock = std::chrono::steady_clock;
  /// The network address of a peer.
  using Peer = std::string;
  struct Connection {
    ino_t socket = 0;
    Peer peer;
  };

  ConnectionGate(ConnectionLimits limits, ConnectionSink sink);

  static Peer PeerOf(const sockaddr_storage& address);
  Status Listen(const sockaddr* address, socklen_t size, bool dual);
  void Loop();
  void AcceptOne(int listener);
  bool MayEnter(const Peer& peer);
  bool Full(const Peer& peer) const;
  void Note(int handle, Peer peer);
  void ForgetClosed();
  void Tell();

  // Constant once Open has returned.
  const ConnectionLimits limits_;
  const ConnectionSink sink_;
  std::vector<int> listeners_;
  int wake_ = -1;
  std::uint16_t port_ = 0;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server_;

  // Of the thread.
  std::map<int, Connection> open_;
  std::map<Peer, int> of_peer_;
  ConnectionCounts counts_;
  ConnectionCounts told_;
  Clock::time_point looked_{};
  Clock::time_point told_at_{};
  Clock::time_point warned_{};

  std::atomic<bool> closing_{false};
  std::jthread thread_;
};

}  // namespace ferment::rpc
