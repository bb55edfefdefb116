// SPDX-License-Identifier: Apache-2.0
//
// Whether this process does anything, as the kernel sees it.
#pragma once

#include <cstdint>

namespace ferment::worker {

struct ProcessPulse {
  /// Of all threads but the calling one.
  std::uint64_t cpu_microseconds = 0;
  /// A thread waits for a disk or a file system and cannot be woken: state D.
  bool at_disk = false;
};

/// Cost: a small file read a thread.
ProcessPulse PulseOfThisProcess();

}  // namespace ferment::worker
