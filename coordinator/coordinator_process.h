// SPDX-License-Identifier: Apache-2.0
//
// A coordinator from its first port to its last: opens what it serves with, serves until it is asked to end, drains.
#pragma once

#include "coordinator/coordinator_config.h"

namespace ferment::coordinator {

/// Returns: the exit code with which the process shall end, once a signal or a failed store or audit log ends it.
/// Errors: those of Check; of opening store, certificates, tokens and audit log; of listening.
Result<int> RunCoordinator(const CoordinatorConfig& config);

}  // namespace ferment::coordinator
