// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/listen_address.h"

#include <charconv>

namespace ferment::rpc {

bool ListenAddress::IsLoopback() const { return host == "localhost" || host == "::1" || host.starts_with("127."); }

std::string ListenAddress::ToString() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<ListenAddress> ParseListenAddress(std::string_view text) {
  const auto malformed = [text](const char* why) {
    return Fail(InvalidArgumentError("not an address of the form HOST:PORT: address=" + std::string(text) + " (" + why +
                                     "); such as 127.0.0.1:50400")
                    .WithExitCode(exit_code::kUsage));
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return malformed("no colon");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return malformed("no host");
  if (!bracketed && host.find(':') != std::string_view::npos) return malformed("an IPv6 host stands in brackets");
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return malformed("the port is a number in 0..65535");
  }
  return ListenAddress{std::string(host), number};
}

Status RefuseOpenAddress(const ListenAddress& address, bool insecure) {
  if (insecure || address.IsLoopback()) return {};
  return FailedPreconditionError(
             "refusing to listen without TLS where other machines could connect: address=" + address.ToString() +
             "; listen on 127.0.0.1, or give --insecure on a network that you trust")
      .WithExitCode(exit_code::kNotAllowed);
}

}  // namespace ferment::rpc
