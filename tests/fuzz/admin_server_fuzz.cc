// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/event/admin_server.h"

namespace ferment::event {
namespace {

constexpr std::string_view kAlive = "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n";

using Part = std::array<char, 4096>;

// libFuzzer's alarm interrupts both.
ssize_t Send(int handle, std::string_view bytes) {
  ssize_t sent = -1;
  do sent = send(handle, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

ssize_t Receive(int handle, Part& part) {
  ssize_t got = -1;
  do got = recv(handle, part.data(), part.size(), 0);
  while (got < 0 && errno == EINTR);
  return got;
}

/// One server for all inputs, as a program has one for all who come.
class Port {
 public:
  Port() {
    IgnoreBrokenPipes();
    auto started = AdminServer::Start(loop_, {},
                                      {{"/livez",
                                        [](const HttpRequest&) {
                                          return HttpReply{200, "text/plain", "alive\n"};
                                        }},
                                       {"/api/*", [](const HttpRequest& request) {
                                          FERMENT_CHECK(request.path.starts_with("/api/")) << request.path;
                                          FERMENT_CHECK(request.path.find('?') == std::string::npos) << request.path;
                                          return HttpReply{200, "text/plain", request.path + "?" + request.query};
                                        }}});
    FERMENT_CHECK(started.has_value()) << started.error().message();
    server_ = std::move(*started);
    const std::string& address = server_->address();
    const char* const end = address.data() + address.size();
    std::from_chars(address.data() + address.rfind(':') + 1, end, port_);
  }
  ~Port() { loop_.Stop(); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// Returns: what comes for these bytes until the server hangs up.
  std::string Say(std::string_view bytes) const {
    const int handle = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    FERMENT_CHECK(connect(handle, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) << errno;
    while (!bytes.empty()) {
      const ssize_t sent = Send(handle, bytes);
      if (sent <= 0) break;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    shutdown(handle, SHUT_WR);
    std::string answer;
    Part part = {};
    for (ssize_t got = 0; (got = Receive(handle, part)) > 0;) answer.append(part.data(), static_cast<std::size_t>(got));
    close(handle);
    return answer;
  }

 private:
  EventLoop loop_;
  std::unique_ptr<AdminServer> server_;
  std::uint16_t port_ = 0;
};

}  // namespace
}  // namespace ferment::event

// Any bytes at the admin port: they are answered as HTTP or hung up on, and the next one is answered.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ferment::event::Port port;
  const std::string answer = port.Say({reinterpret_cast<const char*>(data), size});
  FERMENT_CHECK(answer.empty() || answer.starts_with("HTTP/1.")) << answer;
  const std::string alive = port.Say(ferment::event::kAlive);
  FERMENT_CHECK(alive.starts_with("HTTP/1.1 200") && alive.ends_with("\r\n\r\nalive\n")) << alive;
  return 0;
}
