// SPDX-License-Identifier: Apache-2.0
//
// What starts a trainer job: from a spec and a job to the words of a command line, without starting anything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/config/run_spec.h"

namespace ferment {

/// One trainer job on one machine.
struct TrainerLaunch {
  /// Names are looked up on PATH.
  std::filesystem::path mpirun = "mpirun";
  std::filesystem::path trainer = "ferment-trainer";
  std::filesystem::path run_dir;
  std::string phase;
  std::uint32_t round = 0;
  /// HOST:PORT; empty: the trainer works offline, and run_id and attempt are left out.
  std::string coordinator = {};
  std::string run_id = {};
  std::uint32_t attempt = 0;
  /// Of the machine.
  unsigned cores = 1;
  /// GOMP_SPINCOUNT: how long a thread of a rank looks for work before it sleeps.
  std::string spin_count = "30000";
  /// Open MPI refuses to start as root unless told twice that it is meant.
  bool as_root = false;
};

/// Returns: a launch with what depends on this machine, this user and the environment filled in.
TrainerLaunch LaunchOnThisMachine();

struct LaunchCommand {
  std::vector<std::string> argv;
  /// Added to the environment.
  std::vector<std::pair<std::string, std::string>> env;
};

/// Returns: the mpirun command (docs/decisions/0010-launch-command-in-config.md). Pure.
LaunchCommand MakeLaunchCommand(const RunSpec& spec, const TrainerLaunch& launch);

/// Returns: resources.threads_per_rank, or the rank's share of `cores`, at least 1.
std::uint32_t ThreadsPerRank(const RunSpec& spec, unsigned cores);

/// Returns: one line that a shell understands: variables, then words, quoted where need be.
std::string ToShell(const LaunchCommand& command);

}  // namespace ferment
