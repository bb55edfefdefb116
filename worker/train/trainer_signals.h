// SPDX-License-Identifier: Apache-2.0
//
// What TERM, INT, USR1, USR2 and HUP ask of a trainer, as flags that the loop reads between steps.
#pragma once

#include "common/base/status.h"

namespace ferment::worker {

/// Installs the handlers, which only set flags: USR1 asks for a checkpoint; TERM, INT and USR2 for a checkpoint and the
/// end with 143; a second INT ends the process at once with 130. PIPE is ignored, and HUP: whether a terminal closes or
/// certificates are renewed, which are followed without it, is nothing to a job. Call once, before any thread is
/// started.
void InstallTrainerSignals();

/// Returns: whether a checkpoint was asked for since the last call, and forgets it.
bool TakeCheckpointRequest();
/// Returns: whether the job was asked to end.
bool StopSignalled();

}  // namespace ferment::worker
