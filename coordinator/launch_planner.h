// SPDX-License-Identifier: Apache-2.0
//
// What the launcher is asked for an attempt at a job: its command, its environment, and the machine that it needs.
#pragma once

#include <string>

#include "coordinator/coordinator_config.h"
#include "coordinator/desks/trainer_desk.h"

namespace ferment::coordinator {

/// `address`: where the coordinator serves, HOST:PORT. Returns: a planner that holds copies of both.
LaunchPlanner MakeLaunchPlanner(const CoordinatorConfig& config, const std::string& address);

}  // namespace ferment::coordinator
