// SPDX-License-Identifier: Apache-2.0
#include "common/base/json.h"

#include <algorithm>
#include <string>

namespace ferment {
namespace {

/// Returns: the byte, from 1, at which the text ceases to be JSON; one past the last where it is cut off.
std::size_t WrongByte(std::string_view text) {
  std::size_t wrong = std::min(text.find('\0'), text.size()) + 1;
  try {
    [[maybe_unused]] const Json whole = Json::parse(text);
  } catch (const Json::parse_error& error) {
    wrong = std::min(wrong, error.byte);
  } catch (const Json::out_of_range& error) {
    // Of a number that no double holds the library tells the digits, in quotes, and not the place.
    const std::string_view what = error.what();
    const std::size_t open = what.find('\'') + 1;
    wrong = std::min(wrong, text.find(what.substr(open, what.rfind('\'') - open)) + 1);
  }
  return wrong;
}

}  // namespace

Status WrongJson(std::string_view text) {
  const std::size_t byte = std::max<std::size_t>(WrongByte(text), 1);
  const std::string_view before = text.substr(0, byte - 1);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t column = byte - 1 - (before.rfind('\n') + 1) + 1;
  const std::string place = "line=" + std::to_string(line) + " column=" + std::to_string(column) +
                            " byte=" + std::to_string(byte) + " bytes=" + std::to_string(text.size());
  return DataLossError((byte > text.size() ? "not valid JSON, it ends too soon: " : "not valid JSON: ") + place);
}

}  // namespace ferment
