// SPDX-License-Identifier: Apache-2.0
//
// A collective that draws every verb, and every sum that is under way, into a trace.
#pragma once

#include <memory>

#include "worker/collective/collective.h"
#include "worker/trace/trace.h"

namespace ferment::worker {

/// Returns: `inner`, drawn into `trace`, which outlives it; what Split gives is drawn too. A begun sum ends in the
/// trace where AdvanceSums or AwaitSums sees that it has.
std::unique_ptr<Collective> MakeTracedCollective(std::unique_ptr<Collective> inner, Trace& trace);

}  // namespace ferment::worker
