// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/process_pulse.h"

#include <time.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ferment::worker {
namespace {

std::uint64_t CpuMicroseconds(clockid_t clock) {
  timespec time = {};
  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000U + static_cast<std::uint64_t>(time.tv_nsec) / 1000U;
}

/// Threads come and go meanwhile: what cannot be read is not at a disk.
bool AnyThreadAtDisk() {
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream stat(task.path() / "stat");
    std::string line;
    std::getline(stat, line);
    const auto name_end = line.rfind(')');
    if (name_end != std::string::npos && line.compare(name_end, 3, ") D") == 0) return true;
  }
  return false;
}

}  // namespace

ProcessPulse PulseOfThisProcess() {
  // This order: the process has used no less than this thread had before.
  const std::uint64_t own = CpuMicroseconds(CLOCK_THREAD_CPUTIME_ID);
  return {CpuMicroseconds(CLOCK_PROCESS_CPUTIME_ID) - own, AnyThreadAtDisk()};
}

}  // namespace ferment::worker
