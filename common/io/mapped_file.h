// SPDX-License-Identifier: Apache-2.0
//
// A file's bytes in memory without reading them first.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "common/base/result.h"

namespace ferment::io {

/// Owns a read-only mapping of the file as it was when opened. Thread: any. Whoever cuts the file short while it is
/// mapped makes reads past the new end fail with SIGBUS: artefacts are replaced by renaming, never rewritten in place.
class MappedFile {
 public:
  /// Errors: NotFound, PermissionDenied, Unavailable (a folder, no memory).
  static Result<MappedFile> Open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace ferment::io
