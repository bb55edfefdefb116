// SPDX-License-Identifier: Apache-2.0
#include "common/base/core_file.h"

#include <sys/resource.h>

#include <algorithm>

namespace ferment {
namespace {

// Less than any file of a core, and what core(5) has for "not through a pipe either": 0 is passed on to the program.
constexpr rlim_t kTooLittle = 1;

}  // namespace

void LeaveNoCoreFile() {
  rlimit limit{};
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return;
  // Where the system allows none at all there is nothing to lower.
  limit.rlim_cur = std::min(kTooLittle, limit.rlim_max);
  setrlimit(RLIMIT_CORE, &limit);
}

}  // namespace ferment
