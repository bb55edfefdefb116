// SPDX-License-Identifier: Apache-2.0
#include "worker/train/process_usage.h"

#include <sys/resource.h>

namespace ferment::worker {

ProcessUsage UsageOfThisProcess() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
}

}  // namespace ferment::worker
