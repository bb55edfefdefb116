// SPDX-License-Identifier: Apache-2.0
//
// dmlc's RecordIO container, the .rec of MXNet and InsightFace, read in place (docs/formats.md has the picture).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/io/mapped_file.h"

namespace ferment::dataset {

inline constexpr std::uint32_t kRecordioMagic = 0xCED7230A;

/// One logical record.
struct RawRecord {
  std::uint64_t offset = 0;
  /// Where the next record begins, if this one's length is right.
  std::uint64_t end = 0;
  /// Whether there is a magic, or the file's end, at `end`.
  bool followed = false;
  /// Of a record in one part: inside the mapping. Of a split one: empty, see `joined`.
  std::span<const std::byte> view;
  /// A split record put together again, the magics between its parts re-inserted.
  std::vector<std::byte> joined;

  std::span<const std::byte> payload() const { return joined.empty() ? view : std::span<const std::byte>(joined); }
};

/// Owns the mapping. Thread: any.
class RecordioReader {
 public:
  /// Errors: NotFound, PermissionDenied, Unavailable.
  static Result<RecordioReader> Open(const std::filesystem::path& path);

  std::uint64_t size_bytes() const { return file_.bytes().size(); }
  /// Errors: DataLoss that starts with the reason: idx-past-end (no such offset), bad-magic, length-too-long (and
  /// records follow), tail-truncated (none do), parts-broken (a part is missing or out of turn).
  Result<RawRecord> ReadAt(std::uint64_t offset) const;
  /// Returns: the first place at or after `offset` where a record may begin: an aligned magic with cflag 0 or 1.
  std::optional<std::uint64_t> NextStart(std::uint64_t offset) const;

  /// Returns: `count` bytes from there, or as many as are left.
  std::span<const std::byte> BytesAt(std::uint64_t offset, std::uint64_t count) const;

  struct Scan {
    /// Offsets of sound records.
    std::vector<std::uint64_t> records;
    /// Places that were skipped, each to the next magic.
    std::vector<std::pair<std::uint64_t, Status>> damage;
  };
  /// Returns: the records that begin in [begin, end), found without an index. Ranges that tile the file visit each
  /// record once.
  Scan ScanRange(std::uint64_t begin, std::uint64_t end) const;

 private:
  explicit RecordioReader(io::MappedFile file) : file_(std::move(file)) {}
  io::MappedFile file_;
};

}  // namespace ferment::dataset
