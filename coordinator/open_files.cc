// SPDX-License-Identifier: Apache-2.0
#include "coordinator/open_files.h"

#include <sys/resource.h>

#include <algorithm>

#include "common/base/logging.h"

namespace ferment::coordinator {
namespace {

/// Store, logs and result files, the admin port's connections, and what trainers are started with.
constexpr rlim_t kOtherFiles = 256;

/// No further than is needed: programs that are started from here inherit it, and some of them close every number up to
/// it.
rlim_t RaiseOpenFiles(rlim_t needed) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur >= needed) return files.rlim_cur;
  files.rlim_cur = std::min(needed, files.rlim_max);
  setrlimit(RLIMIT_NOFILE, &files);
  getrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur;
}

}  // namespace

rpc::ConnectionLimits GrantConnections(const CoordinatorLimits& limits) {
  const rlim_t needed = static_cast<rlim_t>(limits.connections) + kOtherFiles;
  const rlim_t granted = RaiseOpenFiles(needed);
  if (granted >= needed) return {limits.connections, limits.connections_per_peer};
  const int left = static_cast<int>(granted > 2 * kOtherFiles ? granted - kOtherFiles : granted / 2);
  LogWarning("coordinator.few_files", {{"max_connections", limits.connections},
                                       {"open_files", granted},
                                       {"next", "at most " + std::to_string(left) + " connections"},
                                       {"instead", "raise the hard limit of open files (ulimit -Hn)"}});
  return {left, std::min(left, limits.connections_per_peer)};
}

}  // namespace ferment::coordinator
