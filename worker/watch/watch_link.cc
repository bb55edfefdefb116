// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/watch_link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace ferment::worker {
namespace {

static_assert(std::is_trivially_copyable_v<WatchFrame>);

int MillisecondsUntil(std::chrono::steady_clock::time_point until) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 60'000));
}

Status Refused(const std::string& what) { return UnavailableError(what + ": " + std::strerror(errno)); }

int Listen(int family) {
  const int handle = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (handle < 0) return -1;
  int bound = -1;
  if (family == AF_INET6) {
    const int both = 0;
    setsockopt(handle, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both));
    sockaddr_in6 any = {};
    any.sin6_family = AF_INET6;
    bound = bind(handle, reinterpret_cast<const sockaddr*>(&any), sizeof(any));
  } else {
    sockaddr_in any = {};
    any.sin_family = AF_INET;
    bound = bind(handle, reinterpret_cast<const sockaddr*>(&any), sizeof(any));
  }
  if (bound == 0 && listen(handle, SOMAXCONN) == 0) return handle;
  close(handle);
  return -1;
}

std::string NumericAddress(const sockaddr& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof(text));
  } else if (address.sa_family == AF_INET6) {
    const in6_addr& number = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (!IN6_IS_ADDR_LINKLOCAL(&number)) inet_ntop(AF_INET6, &number, text, sizeof(text));
  }
  return text;
}

}  // namespace

WatchLink::WatchLink(int handle, const WatchCookie& cookie) : handle_(handle), cookie_(cookie) {
  fcntl(handle_, F_SETFL, fcntl(handle_, F_GETFL) | O_NONBLOCK);
  const int at_once = 1;
  setsockopt(handle_, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
}

WatchLink::~WatchLink() { close(handle_); }

void WatchLink::Send(WatchFrame frame) const {
  frame.cookie = cookie_;
  (void)!send(handle_, &frame, sizeof(frame), MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::vector<WatchFrame> WatchLink::Receive() {
  std::vector<WatchFrame> frames = std::exchange(kept_, {});
  while (!closed_) {
    const ssize_t got = recv(handle_, partial_.data() + partial_bytes_, partial_.size() - partial_bytes_, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (got <= 0) {
      closed_ = true;
      break;
    }
    partial_bytes_ += static_cast<std::size_t>(got);
    if (partial_bytes_ < partial_.size()) continue;
    partial_bytes_ = 0;
    WatchFrame frame;
    std::memcpy(&frame, partial_.data(), sizeof(frame));
    closed_ = frame.cookie != cookie_;
    if (!closed_) frames.push_back(frame);
  }
  return frames;
}

std::optional<WatchFrame> WatchLink::Await(WatchFrame::Kind kind, std::chrono::steady_clock::time_point until) {
  do {
    const std::vector<WatchFrame> frames = Receive();
    const auto found =
        std::find_if(frames.begin(), frames.end(), [kind](const WatchFrame& frame) { return frame.kind == kind; });
    if (found != frames.end()) {
      kept_.assign(found + 1, frames.end());
      return *found;
    }
    pollfd readable = {handle_, POLLIN, 0};
    poll(&readable, 1, MillisecondsUntil(until));
  } while (!closed_ && std::chrono::steady_clock::now() < until);
  return std::nullopt;
}

Result<WatchPort> WatchPort::Open() {
  int handle = Listen(AF_INET6);
  if (handle < 0) handle = Listen(AF_INET);
  if (handle < 0) return Fail(Refused("listening"));
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(handle, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    const Status refused = Refused("asking for the port");
    close(handle);
    return Fail(refused);
  }
  const in_port_t port = bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                                     : reinterpret_cast<const sockaddr_in&>(bound).sin_port;
  return WatchPort(handle, ntohs(port));
}

WatchPort::WatchPort(WatchPort&& other) noexcept : handle_(std::exchange(other.handle_, -1)), port_(other.port_) {}

WatchPort::~WatchPort() {
  if (handle_ >= 0) close(handle_);
}

int WatchPort::Accept() const { return accept4(handle_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }

std::vector<std::string> AddressesOfThisHost() {
  std::vector<std::string> outside;
  std::vector<std::string> loopback;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return {"127.0.0.1"};
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    std::string address = NumericAddress(*entry->ifa_addr);
    if (address.empty()) continue;
    ((entry->ifa_flags & IFF_LOOPBACK) != 0 ? loopback : outside).push_back(std::move(address));
  }
  freeifaddrs(first);
  outside.insert(outside.end(), loopback.begin(), loopback.end());
  return outside;
}

Result<int> ConnectTo(const std::string& address, int port, std::chrono::steady_clock::time_point until) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0 || found == nullptr)
    return Fail(InvalidArgumentError("not a numeric address: " + address));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
  const std::string peer = address + " port " + std::to_string(port);
  const int handle = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (handle < 0) return Fail(Refused(peer));
  Status status;
  if (connect(handle, found->ai_addr, found->ai_addrlen) != 0) {
    pollfd writable = {handle, POLLOUT, 0};
    int error = errno;
    socklen_t size = sizeof(error);
    if (error == EINPROGRESS) {
      if (poll(&writable, 1, MillisecondsUntil(until)) == 1) {
        getsockopt(handle, SOL_SOCKET, SO_ERROR, &error, &size);
      } else {
        error = ETIMEDOUT;
      }
    }
    if (error != 0) status = UnavailableError(peer + ": " + std::strerror(error));
  }
  if (status.ok()) return handle;
  close(handle);
  return Fail(status);
}

}  // namespace ferment::worker
