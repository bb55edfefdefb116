// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "common/base/logging.h"

int main(int argc, char** argv) {
  ferment::SetUpLogging({.program = "ferment", .level = ferment::LogLevel::kWarning});
  return ferment::cli::RunCommandLine(argc, argv);
}
