// SPDX-License-Identifier: Apache-2.0
#include "common/io/file_calls.h"

#include <unistd.h>

#include "common/io/errno_status.h"

namespace ferment::io {

Status WriteAll(int file, std::span<const std::byte> bytes, std::string_view what, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = Uninterrupted([&] { return ::write(file, bytes.data(), bytes.size()); });
    if (written < 0) return WriteErrno(errno, what, path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace ferment::io
