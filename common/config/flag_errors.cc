// SPDX-License-Identifier: Apache-2.0
#include "common/config/flag_errors.h"

#include <ostream>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/spec_schema.h"

namespace ferment {
namespace {

void SuggestFlags(const CLI::App& command, std::ostream& err) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  for (const std::string& word : command.remaining()) {
    if (!word.starts_with("--")) continue;
    const std::string flag = word.substr(0, word.find('='));
    const std::string nearest = NearestWord(flag, flags);
    if (!nearest.empty()) err << "no such flag: " << flag << "; nearest: " << nearest << "\n";
  }
  for (const CLI::App* below : command.get_subcommands()) SuggestFlags(*below, err);
}

}  // namespace

int SayWhyNotParsed(const CLI::App& app, const CLI::ParseError& end, std::ostream& out, std::ostream& err) {
  if (app.exit(end, out, err) == 0) return exit_code::kOk;
  SuggestFlags(app, err);
  return exit_code::kUsage;
}

}  // namespace ferment
