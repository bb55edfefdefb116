// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_network.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>

namespace ferment::cli {
namespace {

std::string Numbers(const sockaddr* address, socklen_t length) {
  std::array<char, NI_MAXHOST> text = {};
  const int code = getnameinfo(address, length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  return code == 0 ? text.data() : "";
}

socklen_t LengthOf(const sockaddr* address) {
  return address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

/// Returns: the interface that has this address; empty where none has.
std::string InterfaceWith(const std::string& own_address) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(all, &freeifaddrs);
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    if (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6) continue;
    if (Numbers(one->ifa_addr, LengthOf(one->ifa_addr)) == own_address) return one->ifa_name;
  }
  return "";
}

/// Returns: the address from which this one would be called: a datagram socket chooses it without sending anything.
Result<std::string> OwnAddressTowards(const addrinfo& address) {
  const int handle = socket(address.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (handle < 0) return Fail(UnavailableError(strerror(errno)));
  sockaddr_storage own = {};
  socklen_t length = sizeof own;
  const bool known = connect(handle, address.ai_addr, address.ai_addrlen) == 0 &&
                     getsockname(handle, reinterpret_cast<sockaddr*>(&own), &length) == 0;
  const int error = errno;
  close(handle);
  if (!known) return Fail(UnavailableError(strerror(error)));
  return Numbers(reinterpret_cast<const sockaddr*>(&own), length);
}

}  // namespace

Result<HostRoute> RouteTo(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* resolved = nullptr;
  // Port 22: a connected socket needs one, and ssh is what comes next.
  if (const int code = getaddrinfo(host.c_str(), "22", &hints, &resolved))
    return Fail(NotFoundError(gai_strerror(code)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(resolved, &freeaddrinfo);
  HostRoute route{.address = Numbers(resolved->ai_addr, resolved->ai_addrlen)};
  const auto own = OwnAddressTowards(*resolved);
  if (!own) return Fail(own.error().With("no way to " + route.address));
  route.own_address = *own;
  route.interface = InterfaceWith(*own);
  route.is_self = *own == route.address || route.interface == "lo";
  return route;
}

std::string OwnHostName() {
  std::array<char, 256> name = {};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace ferment::cli
