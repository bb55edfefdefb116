// SPDX-License-Identifier: Apache-2.0
//
// Launcher that has Slurm run the jobs.
#pragma once

#include <chrono>
#include <memory>

#include "common/base/clock.h"
#include "coordinator/launch/launcher.h"

namespace ferment::coordinator {

struct SlurmLauncherOptions {
  /// Between two questions to Slurm, which are about all jobs at once; also after one that was not answered.
  std::chrono::milliseconds interval{5'000};
  /// Of each call of Slurm's programs: a coordinator that leaves waits for the one that runs.
  std::chrono::milliseconds deadline{8'000};
  /// From Slurm's word that a job has ended until nobody expects its own any more: NFS may know for a minute that there
  /// is no such file.
  std::chrono::milliseconds file_patience{75'000};
  /// As SlurmJob::least_run.
  std::chrono::seconds least_run{60};
};

/// Each start is a batch job named after owner, job and attempt (event::SlurmName), of which <run_dir>/processes/slurm
/// has a record (event::SlurmRecord), so that a restarted coordinator goes on with it.
///
///   wanted --1--> submitted --2--> begun --3--> ended     1 Launch, or Poll once Slurm answers; never where a job of
///   that
///     |               |               |                     name is known   2, 3 the batch script
///     +-------4-------+               +--5--> lost        4 Signal before it began (withdrawn)   5 Slurm ended it, and
///                                                             it left no word: kUnknown
///
/// Who may run is decided by one file that can be made but once, by the script or by whoever withdraws the start. So a
/// job that was submitted twice, or is started twice by Slurm, runs once.
///
/// SIGUSR1 and SIGUSR2 reach the ranks through script and mpirun; SIGTERM and SIGKILL are scancel. A signal that cannot
/// be handed over is handed over once Slurm answers.
std::unique_ptr<Launcher> MakeSlurmLauncher(const Clock& clock, SlurmLauncherOptions options = {});

}  // namespace ferment::coordinator
