// SPDX-License-Identifier: Apache-2.0
//
// Where a host's name leads to: its address, and the network interface of this machine that it is reached by.
#pragma once

#include <string>

#include "common/base/result.h"

namespace ferment::cli {

struct HostRoute {
  /// In numbers.
  std::string address;
  /// Of this machine, such as "eth0"; and its own address there.
  std::string interface = {};
  std::string own_address = {};
  /// The name is of this machine.
  bool is_self = false;
};

/// Nothing is sent to the host. Errors: NotFound (no address for the name), Unavailable (no way there), with what the
/// system says.
Result<HostRoute> RouteTo(const std::string& host);

/// Returns: this machine's name.
std::string OwnHostName();

}  // namespace ferment::cli
