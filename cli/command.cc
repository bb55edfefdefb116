// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <iostream>
#include <optional>
#include <string>

#include "cli/data_commands.h"

namespace ferment::cli {
namespace {

constexpr char kIntroduction[] =
    "Trains facial-expression recognisers from few labelled faces and very many unlabelled ones.\n\n"
    "  ferment demo                          the whole road on rendered faces, a few minutes on a laptop\n"
    "  ferment run examples/real-faces.yaml --set data.root=DIR\n"
    "  ferment config explain SPEC           each value of a spec and where it comes from";

/// Returns: the word that stands where a command does and is none; CLI11 says only that a subcommand is required.
std::optional<std::string> UnknownCommand(const CLI::App& app, int argc, const char* const* argv) {
  const CLI::App* level = &app;
  for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
    if (level->get_subcommands([](const CLI::App*) { return true; }).empty()) return std::nullopt;
    const auto named = level->get_subcommands([&](const CLI::App* command) { return command->check_name(argv[i]); });
    if (named.empty()) return argv[i];
    level = named.front();
  }
  return std::nullopt;
}

}  // namespace

void LeaveWith(int exit_code) { throw CLI::RuntimeError(exit_code); }

void LeaveIfFailed(const Status& status) {
  if (status.ok()) return;
  std::cerr << "ferment: " << status.message() << std::endl;
  LeaveWith(ProcessExitCode(status));
}

void AddCommands(CLI::App& app) {
  app.description(kIntroduction);
  app.set_version_flag("--version", std::string("ferment ") + FERMENT_VERSION);
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of every command");
  AddConfigCommands(app);
  AddRunCommands(app);
  AddRemoteCommands(app);
  AddRenderCommands(app);
  AddReportCommands(app);
  AddPredictCommand(app);
  AddLabelsCommands(app);
  AddImportWeightsCommand(app);
  AddDataScanCommand(app);
  AddSynthCommands(app);
  AddDoctorCommand(app);
  AddDevCertsCommand(app);
  AddTokenCommands(app);
}

int RunCommandLine(int argc, const char* const* argv) {
  CLI::App app("", "ferment");
  AddCommands(app);
  if (argc <= 1) {
    std::cout << app.help();
    return exit_code::kOk;
  }
  try {
    app.parse(argc, argv);
    return exit_code::kOk;
  } catch (const CLI::RuntimeError& end) {
    return end.get_exit_code();
  } catch (const CLI::ParseError& error) {
    if (const auto word = UnknownCommand(app, argc, argv)) {
      std::cerr << "ferment: no such command; see `ferment --help`: command=" << *word << std::endl;
      return exit_code::kUsage;
    }
    return app.exit(error) == 0 ? exit_code::kOk : exit_code::kUsage;
  } catch (const std::exception& error) {
    std::cerr << "ferment: internal error: " << error.what() << "\n";
    return exit_code::kBug;
  }
}

}  // namespace ferment::cli
