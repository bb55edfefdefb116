// SPDX-License-Identifier: Apache-2.0
//
// How many cores a rank computes on.
#pragma once

#include "common/config/run_spec.h"

namespace ferment::worker {

/// Gives LibTorch resources.threads_per_rank threads; where the spec does not say, an even share of this machine's
/// cores for each of its `local_ranks` ranks, at least one. Once a process, before the first tensor is computed.
void UseComputeThreads(const RunSpec& spec, int local_ranks);

}  // namespace ferment::worker
