// SPDX-License-Identifier: Apache-2.0
//
// Tells, without reading it, that a file is another than it was.
#pragma once

#include <cstdint>
#include <filesystem>

namespace ferment::rpc {

/// A value. One that was made anew is that of no file.
struct FileStamp {
  std::int64_t seconds = -1;
  std::int64_t nanoseconds = 0;
  std::uint64_t size = 0;
  std::uint64_t inode = 0;

  bool operator==(const FileStamp&) const = default;
  bool OfNoFile() const { return seconds < 0; }
};

/// Returns: that of no file where there is none, or where none can be seen.
FileStamp StampOf(const std::filesystem::path& file);

}  // namespace ferment::rpc
