// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <algorithm>
#include <string_view>

#include "common/config/spec_schema.h"

namespace ferment::cli {
namespace {

const CLI::App* CommandIn(const CLI::App& level, const std::string& name) {
  const auto found = level.get_subcommands([&name](const CLI::App* one) { return one->check_name(name); });
  return found.empty() ? nullptr : found.front();
}

/// Returns: the flag that waits for a value behind this word; null where it takes none, or has it behind an =.
const CLI::Option* FlagWithValue(const CLI::App& level, const std::string& word) {
  if (word.find('=') != std::string::npos) return nullptr;
  const CLI::Option* option = level.get_option_no_throw(word);
  return option != nullptr && option->get_items_expected_max() > 0 ? option : nullptr;
}

/// Returns: the choices in a type name such as "TEXT:{auto,on,off}".
std::vector<std::string> ChoicesIn(const std::string& type) {
  std::vector<std::string> choices;
  const std::size_t open = type.find('{');
  const std::size_t close = type.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return choices;
  for (std::size_t begin = open + 1; begin < close;) {
    const std::size_t end = std::min(type.find(',', begin), close);
    choices.push_back(type.substr(begin, end - begin));
    begin = end + 1;
  }
  return choices;
}

std::vector<std::string> ValuesOf(const CLI::Option& option) {
  if (!option.check_lname("set")) return ChoicesIn(option.get_type_name());
  std::vector<std::string> keys;
  VisitSchema(*RunSpec::descriptor(), "",
              [&keys](const SpecField&, const std::string& key) { keys.push_back(key + "="); });
  return keys;
}

std::vector<std::string> FlagsOf(const CLI::App& level) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : level.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

std::vector<std::string> CommandsOf(const CLI::App& level) {
  std::vector<std::string> names;
  for (const CLI::App* one : level.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(one->get_name());
  }
  return names;
}

}  // namespace

std::vector<std::string> Completions(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* level = &app;
  const CLI::Option* waiting = nullptr;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    // bash takes --format=insightface apart at the =.
    if (word == "=") continue;
    if (waiting != nullptr) {
      waiting = nullptr;
    } else if (word.starts_with("-")) {
      waiting = FlagWithValue(*level, word);
    } else if (const CLI::App* next = CommandIn(*level, word)) {
      level = next;
    }
  }
  const std::string last = words.empty() || words.back() == "=" ? "" : words.back();
  std::vector<std::string> candidates;
  if (waiting != nullptr) {
    candidates = ValuesOf(*waiting);
  } else {
    candidates = last.starts_with("-") ? FlagsOf(*level) : CommandsOf(*level);
  }
  std::erase_if(candidates, [&last](const std::string& candidate) { return !candidate.starts_with(last); });
  return candidates;
}

}  // namespace ferment::cli
