// SPDX-License-Identifier: Apache-2.0
//
// Launcher that runs jobs as processes of this machine.
#pragma once

#include <memory>

#include "coordinator/launch/launcher.h"

namespace ferment::coordinator {

/// Jobs run in process groups of their own, each with a record under <run_dir>/processes by which a restarted
/// coordinator finds it again. The exit code of such an adopted job is not known: once gone it is kUnknown. Who wrote
/// its folder is asked for by io::EndedClaim.
///
/// mpirun gives SIGUSR1 and SIGUSR2 to every rank; SIGTERM makes it kill them, so it is for when the time is over.
std::unique_ptr<Launcher> MakeLocalLauncher();

}  // namespace ferment::coordinator
