// SPDX-License-Identifier: Apache-2.0
#include "common/base/json_field.h"

namespace ferment {

const Json& Field(const Json& object, std::string_view key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(std::string(key));
  return found == object.end() ? kNothing : *found;
}

double NumberOr(const Json& value, double fallback) { return value.is_number() ? value.get<double>() : fallback; }

std::uint64_t CountOr(const Json& value, std::uint64_t fallback) {
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : fallback;
}

std::string TextOr(const Json& value, std::string_view fallback) {
  return value.is_string() ? value.get<std::string>() : std::string(fallback);
}

bool BoolOr(const Json& value, bool fallback) { return value.is_boolean() ? value.get<bool>() : fallback; }

std::vector<double> Numbers(const Json& value) {
  std::vector<double> numbers;
  if (!value.is_array()) return numbers;
  for (const Json& element : value) numbers.push_back(NumberOr(element, 0));
  return numbers;
}

}  // namespace ferment
