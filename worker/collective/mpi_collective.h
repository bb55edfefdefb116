// SPDX-License-Identifier: Apache-2.0
//
// Ranks that are processes under mpirun.
#pragma once

#include "worker/collective/collective.h"

namespace ferment::worker {

/// How the ranks of one host sum long buffers: through memory that they share, or as those of several hosts do.
enum class HostMemory { kShared, kUnused };

/// Returns: a communicator of all processes of the job, over a copy of MPI_COMM_WORLD.
/// Requires: MPI_Init_thread was called by this thread with at least MPI_THREAD_FUNNELED; destroy before MPI_Finalize.
Result<std::unique_ptr<Collective>> MakeMpiCollective(std::chrono::milliseconds deadline,
                                                      HostMemory memory = HostMemory::kShared);

}  // namespace ferment::worker
