// SPDX-License-Identifier: Apache-2.0
//
// The commands below `ferment data`, each in its own file.
#pragma once

#include <CLI/CLI.hpp>

namespace ferment::cli {

/// Returns: `ferment data`, made by whoever asks first.
CLI::App& DataGroup(CLI::App& app);

/// ferment data scan PATH [--format F] [--json]
void AddDataScanCommand(CLI::App& app);

}  // namespace ferment::cli
