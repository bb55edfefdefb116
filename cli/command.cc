// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <algorithm>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/completion.h"
#include "cli/data_commands.h"
#include "common/config/flag_errors.h"
#include "common/config/spec_schema.h"
#include "common/io/standard_output.h"

namespace ferment::cli {
namespace {

using Words = std::vector<const char*>;

constexpr char kIntroduction[] =
    "Trains facial-expression recognisers from few labelled faces and very many unlabelled ones.\n\n"
    "  ferment demo                          the whole road on rendered faces, a few minutes on a laptop\n"
    "  ferment run examples/real-faces.yaml --set data.root=DIR\n"
    "  ferment config explain SPEC           each value of a spec and where it comes from";

/// Returns: of a word that stands where a command does and is none, what is to be said of it; CLI11 says only that a
/// subcommand is required.
std::optional<std::string> UnknownCommand(const CLI::App& app, const Words& words) {
  const CLI::App* level = &app;
  std::string path = "ferment";
  for (const char* const word : std::span(words).subspan(1)) {
    const auto commands = level->get_subcommands([](const CLI::App*) { return true; });
    if (word[0] == '-' || commands.empty()) return std::nullopt;
    const auto named = std::ranges::find_if(commands, [&](const CLI::App* one) { return one->check_name(word); });
    if (named == commands.end()) {
      std::vector<std::string> names;
      for (const CLI::App* one : commands) names.push_back(one->get_name());
      const std::string nearest = NearestWord(word, names);
      return "no such command; " + (nearest.empty() ? "" : "nearest: `" + path + " " + nearest + "`; ") + "see `" +
             path + " --help`: command=" + word;
    }
    level = *named;
    path += " " + level->get_name();
  }
  return std::nullopt;
}

/// Returns: for `help COMMAND ...` what shows the same, `COMMAND ... --help`.
Words WithHelpLast(Words words) {
  if (words.size() < 2 || std::string_view(words[1]) != "help") return words;
  words.erase(words.begin() + 1);
  words.push_back("--help");
  return words;
}

}  // namespace

void LeaveWith(int exit_code) { throw CLI::RuntimeError(exit_code); }

void LeaveBecause(const Status& failure) {
  std::cerr << "ferment: " << failure.message() << std::endl;
  LeaveWith(ProcessExitCode(failure));
}

void RefuseJson(bool json, const char* flag) {
  if (!json) return;
  LeaveBecause(
      InvalidArgumentError(std::string(flag) + " prints text: leave --json out").WithExitCode(exit_code::kUsage));
}

void LeaveIfFailed(const Status& status) {
  if (!status.ok()) LeaveBecause(status);
}

void AddCommands(CLI::App& app) {
  app.description(kIntroduction);
  app.set_version_flag("--version", std::string("ferment ") + FERMENT_VERSION);
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of every command");
  AddConfigCommands(app);
  AddRunCommands(app);
  AddRemoteCommands(app);
  AddInspectCommands(app);
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

namespace {

int RunWords(int argc, const char* const* argv) {
  CLI::App app("", "ferment");
  AddCommands(app);
  if (argc <= 1) {
    std::cout << app.help();
    return exit_code::kOk;
  }
  if (std::string_view(argv[1]) == kCompletionVerb) {
    for (const std::string& candidate : Completions(app, {argv + 2, argv + argc})) std::cout << candidate << "\n";
    return exit_code::kOk;
  }
  const Words words = WithHelpLast({argv, argv + argc});
  try {
    app.parse(static_cast<int>(words.size()), words.data());
    return exit_code::kOk;
  } catch (const CLI::RuntimeError& end) {
    return end.get_exit_code();
  } catch (const CLI::ParseError& error) {
    if (const auto unknown = UnknownCommand(app, words)) {
      std::cerr << "ferment: " << *unknown << std::endl;
      return exit_code::kUsage;
    }
    return SayWhyNotParsed(app, error, std::cout, std::cerr);
  } catch (const std::exception& error) {
    std::cerr << "ferment: internal error: " << error.what() << "\n";
    return exit_code::kBug;
  }
}

}  // namespace

int RunCommandLine(int argc, const char* const* argv) {
  const int code = RunWords(argc, argv);
  const Status printed = io::FlushStandardOutput();
  if (printed.ok()) return code;
  std::cerr << "ferment: " << printed.message() << std::endl;
  return code == exit_code::kOk ? ProcessExitCode(printed) : code;
}

}  // namespace ferment::cli
