// SPDX-License-Identifier: Apache-2.0
//
// What this process has used of the machine.
#pragma once

#include <cstdint>

namespace ferment::worker {

struct ProcessUsage {
  double cpu_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
};
/// Returns: what this process has used so far (getrusage).
ProcessUsage UsageOfThisProcess();

}  // namespace ferment::worker
