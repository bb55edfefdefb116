// SPDX-License-Identifier: Apache-2.0
//
// Ranks that are threads of one process: for tests, and for a single rank without MPI.
#pragma once

#include <vector>

#include "worker/collective/collective.h"

namespace ferment::worker {

/// Returns: one communicator a rank; hand each to its own thread.
std::vector<std::unique_ptr<Collective>> MakeThreadCollectives(int ranks, std::chrono::milliseconds deadline);

/// Returns: the communicator of a job of one process; its verbs do nothing.
std::unique_ptr<Collective> MakeSingleCollective();

}  // namespace ferment::worker
