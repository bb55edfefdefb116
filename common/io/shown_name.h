// SPDX-License-Identifier: Apache-2.0
//
// Names out of files of unknown make, as a message may carry them: short, and without what a terminal would obey.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace ferment::io {

/// Returns: the first 120 bytes, each that is not printable ASCII as "?".
inline std::string ShownName(std::string_view name) {
  constexpr std::size_t kMaxBytes = 120;
  std::string shown(name.substr(0, kMaxBytes));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

}  // namespace ferment::io
