// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/run_number.h"

#include <charconv>

namespace ferment::coordinator {

std::string RunIdOf(std::string_view name, std::uint64_t number) {
  return std::string(name) + "-" + std::to_string(number);
}

std::uint64_t RunNumberOf(std::string_view run_id) {
  const std::string_view digits = run_id.substr(run_id.rfind('-') + 1);
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  return whole ? number : 0;
}

}  // namespace ferment::coordinator
