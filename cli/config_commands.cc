// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "common/config/spec_explain.h"
#include "common/config/spec_loader.h"

namespace ferment::cli {
namespace {

struct SpecArguments {
  std::string file;
  std::vector<std::string> set;
  bool json = false;
};

void AddSpecArguments(CLI::App& command, const std::shared_ptr<SpecArguments>& arguments) {
  command.add_option("SPEC", arguments->file, "YAML file")->required();
  command.add_option("--set", arguments->set, "KEY=VALUE, a dotted key; wins over environment and file")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

// Faults are printed as they are, so that an editor finds each line's file:line:column.
LoadedSpec LoadOrLeave(const SpecArguments& arguments) {
  const Result<std::vector<SpecOverride>> overrides = ParseOverrides(arguments.set);
  if (!overrides) LeaveIfFailed(overrides.error());
  Result<LoadedSpec> loaded = LoadSpec(arguments.file, *overrides);
  if (!loaded) {
    std::cerr << loaded.error().message() << std::endl;
    LeaveWith(ProcessExitCode(loaded.error()));
  }
  return std::move(*loaded);
}

}  // namespace

void AddConfigCommands(CLI::App& app) {
  CLI::App* const config = app.add_subcommand("config", "What a spec says and what it may say");
  config->require_subcommand(1);

  auto arguments = std::make_shared<SpecArguments>();
  CLI::App* const validate = config->add_subcommand("validate", "Tells every fault of a spec; starts nothing");
  AddSpecArguments(*validate, arguments);
  validate->callback([arguments] {
    LoadOrLeave(*arguments);
    std::cout << arguments->file << ": valid" << std::endl;
  });

  CLI::App* const explain = config->add_subcommand("explain", "Each value, where it came from, its range and meaning");
  AddSpecArguments(*explain, arguments);
  explain->add_flag("--json", arguments->json, "As JSON");
  explain->callback([arguments] {
    const LoadedSpec loaded = LoadOrLeave(*arguments);
    if (arguments->json) {
      std::cout << ExplainAsJson(loaded).dump(2) << std::endl;
    } else {
      std::cout << ExplainAsTable(loaded) << std::flush;
    }
  });

  CLI::App* const reference = config->add_subcommand("reference", "All keys as Markdown (docs/spec.md)");
  reference->callback([] { std::cout << SpecReference() << std::flush; });
}

}  // namespace ferment::cli
