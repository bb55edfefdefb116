// SPDX-License-Identifier: Apache-2.0
//
// Plain connections to a program's ports, without any library between.
#pragma once

#include <cstdint>
#include <string>

namespace ferment::testing {

/// Returns: the answer of the admin port at "host:port"; empty where there is none within ten seconds.
std::string AskAdmin(const std::string& admin, const std::string& path);
/// Returns: a TCP connection to "host:port" from an address of this machine, or -1.
int ConnectTo(const std::string& address, std::uint32_t from = 0);

}  // namespace ferment::testing
