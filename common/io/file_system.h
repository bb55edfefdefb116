// SPDX-License-Identifier: Apache-2.0
//
// The port through which artefacts are read and written, so that a local folder and an object store look alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

/// Thread: any, also on one path; the last of two writers wins, and a reader sees one of the two whole.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  /// Returns: the whole file. Errors: NotFound, PermissionDenied, Unavailable.
  virtual Result<std::vector<std::byte>> Read(const std::filesystem::path& path) = 0;
  /// Returns: bytes [offset, offset + size). Errors: OutOfRange past the end, and those of Read.
  virtual Result<std::vector<std::byte>> ReadRange(const std::filesystem::path& path, std::uint64_t offset,
                                                   std::uint64_t size) = 0;
  /// Returns: bytes of the file. Errors: those of Read.
  virtual Result<std::uint64_t> Size(const std::filesystem::path& path) = 0;
  /// Creates missing parent folders; after success the file survives a power cut. Errors: those of io::WriteErrno.
  virtual Status Write(const std::filesystem::path& path, std::span<const std::byte> bytes) = 0;
  /// Returns: names in the folder, sorted bytewise; without temporary files of writers. Errors: NotFound.
  virtual Result<std::vector<std::string>> List(const std::filesystem::path& folder) = 0;
  /// Success also where there is no such file. Errors: those of io::WriteErrno.
  virtual Status Remove(const std::filesystem::path& path) = 0;
};

}  // namespace ferment::io
