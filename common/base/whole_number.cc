// SPDX-License-Identifier: Apache-2.0
#include "common/base/whole_number.h"

#include <charconv>

namespace ferment {

std::function<std::string(const std::string&)> WholeNumber(std::uint64_t least, std::uint64_t most) {
  return [least, most](const std::string& text) -> std::string {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    const bool plain = error == std::errc() && rest == end && (text.size() == 1 || text.front() != '0');
    if (plain && number >= least && number <= most) return {};
    return "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ": " + text;
  };
}

}  // namespace ferment
