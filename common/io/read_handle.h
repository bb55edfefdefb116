// SPDX-License-Identifier: Apache-2.0
//
// A file that is read where it lies. Nothing is mapped: where a disk fails, or somebody cuts a file short, a read has
// an error and a mapping has SIGBUS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "common/base/result.h"

namespace ferment::io {

/// Owns the open file. Thread: any.
class ReadHandle {
 public:
  /// Errors: NotFound, PermissionDenied, Unavailable (a folder, a pipe).
  static Result<ReadHandle> Open(const std::filesystem::path& path);

  ReadHandle(ReadHandle&& other) noexcept;
  ReadHandle& operator=(ReadHandle&&) = delete;
  ReadHandle(const ReadHandle&) = delete;
  ReadHandle& operator=(const ReadHandle&) = delete;
  ~ReadHandle();

  /// Bytes of the file when it was opened; 0 also where it does not tell, as those of /proc.
  std::uint64_t size() const { return size_; }
  /// Fills `room` from `offset` on. Returns: bytes read, fewer than asked for only at the file's end. Errors: those of
  /// ReadErrno.
  Result<std::size_t> ReadAt(std::uint64_t offset, std::span<std::byte> room) const;
  /// Fills all of `room`, which lies inside the file. Errors: as ReadAt; Unavailable (65) where the file has become
  /// shorter.
  Status FillAt(std::uint64_t offset, std::span<std::byte> room) const;

 private:
  ReadHandle(std::filesystem::path path, int file, std::uint64_t size);

  std::filesystem::path path_;
  int file_;
  std::uint64_t size_;
};

}  // namespace ferment::io
