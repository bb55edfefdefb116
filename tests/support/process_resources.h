// SPDX-License-Identifier: Apache-2.0
//
// What a process holds of the machine, from /proc.
#pragma once

#include <sys/types.h>

#include <optional>

namespace ferment::testing {

struct ProcessResources {
  double rss_mib = 0;
  /// Of it, what is no file's.
  double anonymous_mib = 0;
  /// The most it ever had.
  double peak_rss_mib = 0;
  int files = 0;
  int threads = 0;
};

/// Returns: nothing where the process has ended.
std::optional<ProcessResources> ReadResources(pid_t pid);

}  // namespace ferment::testing
