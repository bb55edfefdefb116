// SPDX-License-Identifier: Apache-2.0
#include "tests/support/admin_question.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/rpc/listen_address.h"

namespace ferment::testing {

int ConnectTo(const std::string& address, std::uint32_t from) {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{10, 0};
  setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(from);
  // The port is chosen by connect, which knows of those that still wait.
  const int yes = 1;
  setsockopt(handle, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
  if (from != 0) (void)bind(handle, reinterpret_cast<const sockaddr*>(&own), sizeof own);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(rpc::ParseListenAddress(address)->port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(handle, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return handle;
  close(handle);
  return -1;
}

std::string AskAdmin(const std::string& admin, const std::string& path) {
  const int handle = ConnectTo(admin);
  if (handle < 0) return "";
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  std::string answer;
  char buffer[4096];
  if (send(handle, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    for (ssize_t got = 0; (got = recv(handle, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<std::size_t>(got));
    }
  }
  close(handle);
  return answer;
}

}  // namespace ferment::testing
