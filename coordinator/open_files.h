// SPDX-License-Identifier: Apache-2.0
//
// As many connections as the system grants open files for.
#pragma once

#include "common/rpc/connection_gate.h"
#include "coordinator/coordinator_config.h"

namespace ferment::coordinator {

/// Raises this process's limit of open files as far as `limits` need it. Returns: the limits; fewer connections, with a
/// log line, where the system does not grant that many files. Thread: main's.
rpc::ConnectionLimits GrantConnections(const CoordinatorLimits& limits);

}  // namespace ferment::coordinator
