// SPDX-License-Identifier: Apache-2.0
//
// The batch script of a trainer job under Slurm: from the words that start its ranks to the text that sbatch takes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "common/config/launch_command.h"

namespace ferment {

/// What the script leaves beside its own file, FILE.sh, without which it does nothing: who began it, before it does
/// anything else (the job's number, in a file that can be made but once, and is empty at first), and how it ended
/// ("<exit code>", "<exit code> asked"), as its last act.
inline constexpr char kSlurmScript[] = ".sh";
inline constexpr char kSlurmBegin[] = ".begin";
inline constexpr char kSlurmEnd[] = ".end";
/// In place of a job's number, of whoever sees to it that no job ever begins.
inline constexpr char kSlurmWithdrawn[] = "withdrawn";
/// After the exit code of a job that was asked to leave, by the end of its time or by a signal, and left.
inline constexpr char kSlurmAsked[] = "asked";

struct SlurmJob {
  std::string name;
  LaunchCommand command = {};
  std::uint32_t ranks = 1;
  std::uint32_t threads_per_rank = 1;
  bool gpus = false;
  /// Absolute, and seen by all nodes.
  std::filesystem::path run_dir = {};
  std::filesystem::path log_file = {};
  /// Path of the script without its ending. Empty: a person submits it, and may do so again; it then has itself queued
  /// anew when its time is over.
  std::filesystem::path record = {};
  /// From Slurm's word that the time is nearly over to the end of it.
  std::chrono::seconds notice{120};
  /// Who was asked to leave sooner than that after the start may have done no step: it counts as having failed, and has
  /// itself not queued anew.
  std::chrono::seconds least_run{60};
};

/// Requires: no line end and no backslash in name and paths, which sbatch would drop. Returns: a bash script with its
/// #SBATCH lines. USR1 asks the ranks for a checkpoint, USR2 and TERM for one after which they leave; Slurm sends USR2
/// `notice` before the time is over. Pure.
std::string SlurmScript(const SlurmJob& job);

}  // namespace ferment
