// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/lock_checks.h"

#include <absl/synchronization/mutex.h>

namespace ferment::rpc {

void EndLockChecks() { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }

}  // namespace ferment::rpc
