// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "common/base/core_file.h"
#include "common/base/inherited_state.h"
#include "common/base/logging.h"
#include "common/config/environment_check.h"

int main(int argc, char** argv) {
  ferment::MendInheritedState();
  ferment::LeaveNoCoreFile();
  ferment::SetUpLogging({.program = "ferment", .level = ferment::LogLevel::kWarning});
  ferment::WarnOfMistypedVariables();
  return ferment::cli::RunCommandLine(argc, argv);
}
