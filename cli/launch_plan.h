// SPDX-License-Identifier: Apache-2.0
//
// What a run of a spec would start, in words and as commands.
#pragma once

#include <filesystem>
#include <ostream>

#include "common/config/run_spec.h"

namespace ferment::cli {

/// Prints the command of each phase in order, as a shell takes it, each without a coordinator. Starts nothing.
void PrintPhases(std::ostream& out, const RunSpec& spec, const std::filesystem::path& run_dir);

}  // namespace ferment::cli
