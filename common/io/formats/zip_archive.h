// SPDX-License-Identifier: Apache-2.0
//
// The members of a zip held in memory, each checked against its size and CRC: what .npz and PyTorch's files are made
// of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

/// What begins a member, a directory entry, and the end of the directory.
inline constexpr std::uint32_t kZipLocalMagic = 0x04034b50;
inline constexpr std::uint32_t kZipCentralMagic = 0x02014b50;
inline constexpr std::uint32_t kZipEndMagic = 0x06054b50;
/// Stands where a 32-bit size or offset would be whose value is in the zip64 extra field.
inline constexpr std::uint32_t kInZip64Extra = 0xFFFFFFFF;

/// A member as the directory at the zip's end lists it; nothing in it is to be trusted before ReadZipMember.
struct ZipEntry {
  std::string name;
  std::uint16_t flags;
  std::uint16_t method;
  std::uint32_t crc;
  std::uint64_t packed_bytes;
  std::uint64_t plain_bytes;
  std::uint64_t local_offset;
};

/// Move only: `plain` points into the zip, or into `inflated`, whose memory a move keeps.
struct ZipMember {
  ZipMember() = default;
  ZipMember(ZipMember&&) noexcept = default;
  ZipMember& operator=(ZipMember&&) noexcept = default;
  ZipMember(const ZipMember&) = delete;
  ZipMember& operator=(const ZipMember&) = delete;
  ~ZipMember() = default;

  std::span<const std::byte> plain;
  std::vector<std::byte> inflated;
};

/// Errors: DataLoss where the directory is missing, cut short or broken.
Result<std::vector<ZipEntry>> ReadZipDirectory(std::span<const std::byte> bytes);

/// Reads stored and deflated members. Errors: DataLoss for encryption, sizes, another method, or another CRC; nothing
/// is allocated that the file cannot fill.
Result<ZipMember> ReadZipMember(std::span<const std::byte> bytes, const ZipEntry& entry);

}  // namespace ferment::io
