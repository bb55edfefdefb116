// SPDX-License-Identifier: Apache-2.0
//
// How a command of `ferment` ends: one line on stderr and an exit code, through CLI11's own way out.
#pragma once

#include <CLI/CLI.hpp>
#include <utility>

#include "common/base/result.h"
#include "common/base/status.h"

namespace ferment::cli {

/// Leaves the running command with this exit code; ferment_main returns it. Throws CLI::RuntimeError.
[[noreturn]] void LeaveWith(int exit_code);

/// Prints "ferment: <message>" and leaves with the failure's process exit code.
[[noreturn]] void LeaveBecause(const Status& failure);

/// Leaves as on wrong usage where a command that would print text is to print JSON.
void RefuseJson(bool json, const char* flag);

/// Does nothing on success; else as LeaveBecause.
void LeaveIfFailed(const Status& status);

/// Returns: the value; where there is none, as LeaveBecause.
template <typename T>
T OrLeave(Result<T> result) {
  if (!result) LeaveBecause(result.error());
  return std::move(*result);
}

/// Adds `ferment [--version]` itself and every command.
void AddCommands(CLI::App& app);

/// Each adds the commands of its file.
void AddConfigCommands(CLI::App& app);
void AddRunCommands(CLI::App& app);
void AddRemoteCommands(CLI::App& app);
void AddInspectCommands(CLI::App& app);
void AddRenderCommands(CLI::App& app);
void AddReportCommands(CLI::App& app);
void AddPredictCommand(CLI::App& app);
void AddImportWeightsCommand(CLI::App& app);
void AddSynthCommands(CLI::App& app);
void AddLabelsCommands(CLI::App& app);
void AddDoctorCommand(CLI::App& app);
void AddDevCertsCommand(CLI::App& app);
void AddTokenCommands(CLI::App& app);

/// Parses and runs one command line. Returns: the process exit code; 2 on wrong usage; 204 or 73 where all went well
/// but not all of what was printed could be written.
int RunCommandLine(int argc, const char* const* argv);

}  // namespace ferment::cli
