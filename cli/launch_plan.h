// SPDX-License-Identifier: Apache-2.0
//
// What a run of a spec would start, in words and as commands.
#pragma once

#include <cstdint>
#include <filesystem>
#include <ostream>
#include <string>

#include "common/config/run_spec.h"

namespace ferment::cli {

/// Prints the command of each phase in order, as a shell takes it, each without a coordinator; of features, which there
/// is no such command for, that. Starts nothing.
void PrintPhases(std::ostream& out, const RunSpec& spec, const std::filesystem::path& run_dir);

/// Prints the batch script of one phase of trainers for sbatch, without a coordinator; it may be submitted again, and
/// is by itself when its time is over.
void PrintSlurmPhase(std::ostream& out, const RunSpec& spec, const std::filesystem::path& run_dir,
                     const std::string& phase, std::uint32_t round);

}  // namespace ferment::cli
