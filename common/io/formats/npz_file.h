// SPDX-License-Identifier: Apache-2.0
//
// Several named arrays in one zip, as numpy.savez writes and numpy.load reads them; equal content is equal bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/io/formats/npy_format.h"

namespace ferment::io {

/// Collects members in the order of Add; members are stored, dated 1980-01-01, each with its CRC. A value.
class NpzWriter {
 public:
  /// Requires: each name once; the whole stays below 4 GiB.
  void Add(std::string_view name, const NpyArray& array);
  /// Returns: the zip's bytes; the writer is empty afterwards.
  std::vector<std::byte> Finish();

 private:
  struct Member {
    std::string name;
    std::uint32_t crc;
    std::uint32_t size_bytes;
    std::uint32_t offset;
  };
  std::vector<std::byte> bytes_;
  std::vector<Member> members_;
};

/// Returns: the arrays by name, without ".npy". Stored and deflated members are read. Errors: NotFound; DataLoss with
/// file and member for anything damaged (missing directory, CRC, sizes, encryption, a name twice), allocating nothing
/// that the file cannot fill.
Result<std::map<std::string, NpyArray>> ReadNpz(const std::filesystem::path& path);
/// Returns: the same from bytes in memory.
Result<std::map<std::string, NpyArray>> ParseNpz(std::span<const std::byte> bytes);

/// Returns: the array of a .npy file. Errors: NotFound, DataLoss (see ParseNpy).
Result<NpyArray> ReadNpy(const std::filesystem::path& path);

}  // namespace ferment::io
