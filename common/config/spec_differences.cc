// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_differences.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "common/base/json.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"

namespace ferment {
namespace {

void Flatten(const Json& value, const std::string& path, std::vector<std::pair<std::string, std::string>>& out) {
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) Flatten(child, path.empty() ? key : path + "." + key, out);
  } else if (value.is_array() && !value.empty() && value[0].is_object()) {
    for (std::size_t at = 0; at < value.size(); ++at) Flatten(value[at], path + "[" + std::to_string(at) + "]", out);
  } else {
    out.emplace_back(path, value.dump());
  }
}

std::vector<std::pair<std::string, std::string>> Values(const RunSpec& spec) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  std::vector<std::pair<std::string, std::string>> values;
  if (!google::protobuf::util::MessageToJsonString(spec, &text, options).ok()) return values;
  if (const auto json = ParseJson(text)) Flatten(*json, "", values);
  return values;
}

const std::string* Find(const std::vector<std::pair<std::string, std::string>>& values, const std::string& key) {
  for (const auto& [name, value] : values) {
    if (name == key) return &value;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> SpecDifferences(const RunSpec& before, const RunSpec& after) {
  const auto old_values = Values(before);
  const auto new_values = Values(after);
  std::vector<std::string> differences;
  for (const auto& [key, value] : new_values) {
    const std::string* old_value = Find(old_values, key);
    if (old_value == nullptr) {
      differences.push_back(key + ": (absent) -> " + value);
    } else if (*old_value != value) {
      differences.push_back(key + ": " + *old_value + " -> " + value);
    }
  }
  for (const auto& [key, value] : old_values) {
    if (Find(new_values, key) == nullptr) differences.push_back(key + ": " + value + " -> (absent)");
  }
  return differences;
}

Result<std::vector<std::string>> DifferencesFromFile(const std::filesystem::path& file, const RunSpec& spec) {
  FERMENT_ASSIGN_OR_RETURN(const RunSpec before, LoadResolvedSpec(file));
  RunSpec after = spec;
  FillDefaults(after);
  return SpecDifferences(before, after);
}

}  // namespace ferment
