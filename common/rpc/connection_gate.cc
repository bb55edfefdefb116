// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/connection_gate.h"

#include <arpa/inet.h>
#include <grpcpp/server_builder.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/check.h"
#include "common/base/logging.h"

namespace ferment::rpc {
namespace {

// Looking at all connections costs a system call each, so a flood of refused ones must not make it happen for each.
constexpr std::chrono::milliseconds kLookAgain{100};
constexpr int kTellMs = 1'000;
constexpr std::chrono::seconds kWarnAgain{10};
constexpr int kPauseMs = 100;
// As long as gRPC's pings wait for an answer.
constexpr unsigned kUnackedMs = 10'000;
constexpr std::size_t kNetworkBytes = 8;

void Set(int handle, int level, int option, int value) { setsockopt(handle, level, option, &value, sizeof value); }

struct Freed {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

std::uint16_t PortOf(const sockaddr_storage& address) {
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Status CannotListen(const ListenAddress& address, const std::string& why) {
  return UnavailableError("cannot listen for gRPC: address=" + address.ToString() + " error=" + why +
                          "; another program has the port (see `ss -ltnp`), or the host is not one of this "
                          "machine's; choose another, or port 0 for any free one")
      .WithExitCode(exit_code::kMissingService);
}

/// NotFound: this machine has no such address.
Status SocketError() {
  const bool absent = errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT;
  return absent ? NotFoundError(strerror(errno)) : UnavailableError(strerror(errno));
}

/// A reset, which leaves nothing behind on this side.
void Refuse(int handle) {
  const linger at_once{1, 0};
  setsockopt(handle, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(handle);
}

}  // namespace

Result<std::unique_ptr<ConnectionGate>> ConnectionGate::Open(const ListenAddress& address, ConnectionLimits limits,
                                                             ConnectionSink sink) {
  std::unique_ptr<ConnectionGate> gate(new ConnectionGate(limits, std::move(sink)));
  gate->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // As gRPC does: every address of this machine, of both families.
  const bool any = address.host == "0.0.0.0" || address.host == "::";
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(any ? "::" : address.host.c_str(), nullptr, &hints, &found);
  if (error != 0) return Fail(CannotListen(address, gai_strerror(error)));
  const std::unique_ptr<addrinfo, Freed> list(found);
  gate->port_ = address.port;
  Status missing;
  for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
    const Status listening = gate->Listen(one->ai_addr, one->ai_addrlen, any);
    // Such as the ::1 of localhost on a machine without IPv6.
    if (listening.code() == StatusCode::kNotFound) {
      missing = listening;
    } else if (!listening.ok()) {
      return Fail(CannotListen(address, std::string(listening.message())));
    }
  }
  if (gate->listeners_.empty() && any) {
    sockaddr_in all{};
    all.sin_family = AF_INET;
    missing = gate->Listen(reinterpret_cast<const sockaddr*>(&all), sizeof all, false);
  }
  if (gate->listeners_.empty()) return Fail(CannotListen(address, std::string(missing.message())));
  return gate;
}

ConnectionGate::ConnectionGate(ConnectionLimits limits, ConnectionSink sink)
    : limits_(limits), sink_(std::move(sink)) {}

ConnectionGate::~ConnectionGate() {
  Close();
  if (wake_ >= 0) close(wake_);
}

Status ConnectionGate::Listen(const sockaddr* address, socklen_t size, bool dual) {
  sockaddr_storage bound{};
  std::memcpy(&bound, address, size);
  in_port_t& port = bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                                : reinterpret_cast<sockaddr_in&>(bound).sin_port;
  port = htons(port_);
  const int handle = socket(bound.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (handle < 0) return SocketError();
  Set(handle, SOL_SOCKET, SO_REUSEADDR, 1);
  // What is accepted inherits the rest.
  Set(handle, IPPROTO_TCP, TCP_NODELAY, 1);
  Set(handle, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnackedMs);
  if (bound.ss_family == AF_INET6) Set(handle, IPPROTO_IPV6, IPV6_V6ONLY, dual ? 0 : 1);
  socklen_t bound_size = sizeof bound;
  if (bind(handle, reinterpret_cast<const sockaddr*>(&bound), size) != 0 || listen(handle, SOMAXCONN) != 0 ||
      getsockname(handle, reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) {
    const Status failed = SocketError();
    close(handle);
    return failed;
  }
  port_ = PortOf(bound);
  listeners_.push_back(handle);
  return {};
}

void ConnectionGate::Begin(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server) {
  FERMENT_CHECK(!thread_.joinable()) << "begun before";
  server_ = std::move(server);
  thread_ = std::jthread([this] { Loop(); });
}

void ConnectionGate::Close() {
  closing_ = true;
  eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.join();
  for (const int listener : listeners_) close(listener);
  listeners_.clear();
}

void ConnectionGate::Loop() {
  std::vector<pollfd> waits;
  for (const int listener : listeners_) waits.push_back({listener, POLLIN, 0});
  waits.push_back({wake_, POLLIN, 0});
  while (!closing_) {
    poll(waits.data(), waits.size(), kTellMs);
    for (std::size_t i = 0; i < listeners_.size() && !closing_; ++i) {
      // One at a time from each, so that none starves another.
      if ((waits[i].revents & POLLIN) != 0) AcceptOne(listeners_[i]);
    }
    // Not by looked_, which is never old while a flood keeps asking for places.
    if (Clock::now() - told_at_ >= std::chrono::milliseconds(kTellMs)) {
      ForgetClosed();
      Tell();
    }
  }
}

void ConnectionGate::AcceptOne(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const int handle = accept4(listener, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (handle < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    if (Clock::now() - warned_ >= kWarnAgain) {
      warned_ = Clock::now();
      LogWarning("rpc.cannot_accept", {{"error", strerror(errno)}, {"open", open_.size()}, {"next", "trying again"}});
    }
    pollfd wake{wake_, POLLIN, 0};
    poll(&wake, 1, kPauseMs);
    return;
  }
  Peer peer = PeerOf(address);
  if (!MayEnter(peer)) return Refuse(handle);
  Note(handle, std::move(peer));
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.listener_fd = listener;
  connection.fd = handle;
  server_->HandleNewConnection(&connection);
}

ConnectionGate::Peer ConnectionGate::PeerOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    return Peer(reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr), 4);
  }
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  const char* bytes = reinterpret_cast<const char*>(&v6);
  return IN6_IS_ADDR_V4MAPPED(&v6) ? Peer(bytes + 12, 4) : Peer(bytes, kNetworkBytes);
}

bool ConnectionGate::Full(const Peer& peer) const {
  const auto of_peer = of_peer_.find(peer);
  return open_.size() >= static_cast<std::size_t>(limits_.total) ||
         (of_peer != of_peer_.end() && of_peer->second >= limits_.per_peer);
}

bool ConnectionGate::MayEnter(const Peer& peer) {
  if (Full(peer) && Clock::now() - looked_ >= kLookAgain) ForgetClosed();
  if (!Full(peer)) return true;
  ++(open_.size() >= static_cast<std::size_t>(limits_.total) ? counts_.refused_full : counts_.refused_peer);
  return false;
}

void ConnectionGate::Note(int handle, Peer peer) {
  struct stat seen {};
  fstat(handle, &seen);
  // The number was another connection's that is gone.
  if (const auto former = open_.find(handle); former != open_.end()) {
    if (--of_peer_[former->second.peer] == 0) of_peer_.erase(former->second.peer);
  }
  ++of_peer_[peer];
  open_[handle] = {seen.st_ino, std::move(peer)};
}

void ConnectionGate::ForgetClosed() {
  looked_ = Clock::now();
  for (auto one = open_.begin(); one != open_.end();) {
    struct stat now {};
    if (fstat(one->first, &now) == 0 && S_ISSOCK(now.st_mode) && now.st_ino == one->second.socket) {
      ++one;
      continue;
    }
    if (--of_peer_[one->second.peer] == 0) of_peer_.erase(one->second.peer);
    one = open_.erase(one);
  }
}

void ConnectionGate::Tell() {
  told_at_ = Clock::now();
  counts_.open = static_cast<int>(open_.size());
  const bool refused = counts_.refused_full != told_.refused_full || counts_.refused_peer != told_.refused_peer;
  if (refused) {
    LogWarning("rpc.connections_refused", {{"open", counts_.open},
                                           {"limit", limits_.total},
                                           {"limit_of_one_peer", limits_.per_peer},
                                           {"refused", counts_.refused_full + counts_.refused_peer}});
  }
  if (sink_ && (refused || counts_.open != told_.open)) sink_(counts_);
  told_ = counts_;
}

}  // namespace ferment::rpc
