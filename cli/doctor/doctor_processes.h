// SPDX-License-Identifier: Apache-2.0
//
// Who uses a file or a port, as far as /proc tells this user.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace ferment::cli {

/// Returns: those of `files` that no process that this user may look at has mapped or open.
std::set<std::string> WithoutUsed(std::set<std::string> files);

struct PortHolder {
  /// 0 where the process is not this user's to look at.
  int pid = 0;
  /// As /proc/PID/comm has it: its first 15 letters.
  std::string program = {};
  unsigned user = 0;
};

/// Returns: who listens on this TCP port, on whatever address; nothing where nobody does.
std::optional<PortHolder> HolderOf(std::uint16_t port);

}  // namespace ferment::cli
