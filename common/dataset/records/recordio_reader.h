// SPDX-License-Identifier: Apache-2.0
//
// dmlc's RecordIO container, the .rec of MXNet and InsightFace, read in place (docs/formats.md has the picture).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/io/byte_source.h"

namespace ferment::dataset {

inline constexpr std::uint32_t kRecordioMagic = 0xCED7230A;

/// Where one logical record lies.
struct RecordExtent {
  std::uint64_t offset = 0;
  /// Where the next record begins, if this one's length is right.
  std::uint64_t end = 0;
  /// Whether there is a magic, or the file's end, at `end`.
  bool followed = false;
  /// Begin and length of each part's payload: one, or more where the payload holds the magic.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;

  /// Whether there is no payload.
  bool empty() const { return parts.size() == 1 && parts[0].second == 0; }
};

/// One logical record.
struct RawRecord {
  std::uint64_t offset = 0;
  std::uint64_t end = 0;
  bool followed = false;
  /// Of a record in one part. Of a split one: empty, see `joined`.
  io::ByteView view;
  /// A split record put together again, the magics between its parts re-inserted.
  std::vector<std::byte> joined;

  std::span<const std::byte> payload() const { return joined.empty() ? view.bytes : std::span(joined); }
  /// Whether the payload is inside the reader, for as long as that lives.
  bool in_place() const { return joined.empty() && view.owner == nullptr; }
};

/// Owns the bytes. What fails with another code than DataLoss concerns the file as a whole. Thread: any.
class RecordioReader {
 public:
  /// Errors: NotFound, PermissionDenied, Unavailable.
  static Result<RecordioReader> Open(const std::filesystem::path& path);
  explicit RecordioReader(std::unique_ptr<const io::ByteSource> bytes) : bytes_(std::move(bytes)) {}

  std::uint64_t size_bytes() const { return bytes_->size(); }
  /// Reads the record's headers alone, so that a length that is wrong costs nothing. Errors: DataLoss that starts with
  /// the reason: idx-past-end (no such offset), bad-magic, length-too-long (and records follow), tail-truncated (none
  /// do), parts-broken (a part is missing or out of turn); those of the bytes.
  Result<RecordExtent> ExtentAt(std::uint64_t offset) const;
  /// Errors: those of the bytes.
  Result<RawRecord> Load(const RecordExtent& extent) const;
  /// Both. Errors: those of both.
  Result<RawRecord> ReadAt(std::uint64_t offset) const;
  /// Returns: the first place at or after `offset` where a record may begin: an aligned magic with cflag 0 or 1.
  Result<std::optional<std::uint64_t>> NextStart(std::uint64_t offset) const;

  /// Returns: `count` bytes from there, or as many as are left.
  Result<io::ByteView> BytesAt(std::uint64_t offset, std::uint64_t count) const;

  struct Scan {
    /// Offsets of sound records.
    std::vector<std::uint64_t> records;
    /// Places that were skipped, each to the next magic.
    std::vector<std::pair<std::uint64_t, Status>> damage;
  };
  /// Returns: the records that begin in [begin, end), found without an index. Ranges that tile the file visit each
  /// record once.
  Result<Scan> ScanRange(std::uint64_t begin, std::uint64_t end) const;

 private:
  Result<std::uint32_t> WordAt(std::uint64_t offset) const;

  std::unique_ptr<const io::ByteSource> bytes_;
};

}  // namespace ferment::dataset
