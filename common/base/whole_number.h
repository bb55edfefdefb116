// SPDX-License-Identifier: Apache-2.0
//
// What a command line's number must be, for flags that are unsigned.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace ferment {

/// Returns: a check, as CLI11 takes it: "" for a whole number from least to most, else what is wrong with the text.
/// CLI11 by itself makes 18446744073709551615 of -1 and of what is past 64 bits, and 8 of 010.
std::function<std::string(const std::string& text)> WholeNumber(std::uint64_t least, std::uint64_t most);

}  // namespace ferment
