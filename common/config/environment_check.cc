// SPDX-License-Identifier: Apache-2.0
#include "common/config/environment_check.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "common/base/environment_names.h"
#include "common/base/logging.h"
#include "common/config/spec_schema.h"

namespace ferment {
namespace {

constexpr std::string_view kPrefix = "FERMENT_";

std::vector<std::string> KnownVariables() {
  std::vector<std::string> known(environment::kCredentials.begin(), environment::kCredentials.end());
  known.insert(known.end(), environment::kPlaces.begin(), environment::kPlaces.end());
  known.insert(known.end(), environment::kObjectStore.begin(), environment::kObjectStore.end());
  VisitSchema(*RunSpec::descriptor(), "",
              [&known](const SpecField&, const std::string& key) { known.push_back(EnvironmentName(key)); });
  return known;
}

std::string InCapitals(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
  return text;
}

}  // namespace

std::vector<MistypedVariable> FindMistypedVariables(const std::vector<std::string>& lines) {
  const std::vector<std::string> known = KnownVariables();
  std::vector<MistypedVariable> mistyped;
  for (const std::string& line : lines) {
    const std::string name = line.substr(0, line.find('='));
    const std::string capitals = InCapitals(name);
    if (!capitals.starts_with(kPrefix) || std::ranges::find(known, name) != known.end()) continue;
    const std::string_view own = std::string_view(capitals).substr(kPrefix.size());
    std::string nearest;
    std::size_t best = std::max<std::size_t>(1, own.size() / 4) + 1;
    for (const std::string& candidate : known) {
      const std::size_t distance = EditDistance(own, std::string_view(candidate).substr(kPrefix.size()));
      if (distance >= best) continue;
      best = distance;
      nearest = candidate;
    }
    if (!nearest.empty()) mistyped.push_back({name, nearest});
  }
  return mistyped;
}

void WarnOfMistypedVariables() {
  std::vector<std::string> lines;
  for (char** line = environ; *line != nullptr; ++line) lines.emplace_back(*line);
  for (const MistypedVariable& variable : FindMistypedVariables(lines)) {
    LogWarning("environment.not_read", {{"variable", variable.name}, {"nearest", variable.nearest}});
  }
}

}  // namespace ferment
