// SPDX-License-Identifier: Apache-2.0
//
// Launcher of all runs: hands each call to the launcher that the run's spec names.
#pragma once

#include <memory>

#include "coordinator/launch/launcher.h"

namespace ferment::coordinator {

std::unique_ptr<Launcher> MakeLauncherChoice(std::unique_ptr<Launcher> local, std::unique_ptr<Launcher> slurm);

}  // namespace ferment::coordinator
