// SPDX-License-Identifier: Apache-2.0
//
// System calls on files that a signal may break off, or that do only a part of what they were asked for.
#pragma once

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "common/base/status.h"

namespace ferment::io {

/// Makes the call again where a signal broke it off. Not for close: Linux has closed the file then.
template <typename Call>
auto Uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// Writes all of it at the file's place. Errors: those of WriteErrno with `what` and `path`; a part may be written.
Status WriteAll(int file, std::span<const std::byte> bytes, std::string_view what, const std::filesystem::path& path);

}  // namespace ferment::io
