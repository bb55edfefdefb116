// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/recordio_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace ferment::dataset {
namespace {

constexpr std::uint64_t kPartHeaderBytes = 8;
constexpr std::uint32_t kLengthMask = (1U << 29) - 1;
/// What is looked through at a time for a magic: mostly it stands where it is looked for first.
constexpr std::uint64_t kFirstSearchBytes = 8;
constexpr std::uint64_t kSearchBytes = 64 << 10;

enum PartFlag : std::uint32_t { kWhole = 0, kFirst = 1, kMiddle = 2, kLast = 3 };

std::uint32_t GetWord(std::span<const std::byte> bytes, std::uint64_t offset) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data() + offset, sizeof(word));
  return word;
}

std::uint64_t Aligned(std::uint64_t size) { return (size + 3) / 4 * 4; }

Status Damage(const std::string& reason, std::uint64_t offset, const std::string& detail) {
  return DataLossError(reason + ": offset=" + std::to_string(offset) + " " + detail);
}

}  // namespace

Result<RecordioReader> RecordioReader::Open(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(std::unique_ptr<io::ByteSource> bytes, io::OpenFileBytes(path));
  return RecordioReader(std::move(bytes));
}

Result<std::uint32_t> RecordioReader::WordAt(std::uint64_t offset) const {
  FERMENT_ASSIGN_OR_RETURN(const io::ByteView word, bytes_->View(offset, 4));
  return GetWord(word.bytes, 0);
}

Result<RecordExtent> RecordioReader::ExtentAt(std::uint64_t offset) const {
  const std::uint64_t size = size_bytes();
  if (offset >= size) return Fail(Damage("idx-past-end", offset, "file_bytes=" + std::to_string(size)));
  RecordExtent record = {offset, offset, false, {}};
  for (bool first = true;; first = false) {
    if (size - std::min(record.end, size) < kPartHeaderBytes)
      return Fail(
          Damage("tail-truncated", offset, "file ends inside a part header: file_bytes=" + std::to_string(size)));
    FERMENT_ASSIGN_OR_RETURN(const io::ByteView header, bytes_->View(record.end, kPartHeaderBytes));
    if (record.end % 4 != 0 || GetWord(header.bytes, 0) != kRecordioMagic)
      return Fail(Damage(first ? "bad-magic" : "parts-broken", offset, "no magic: at=" + std::to_string(record.end)));
    const std::uint32_t word = GetWord(header.bytes, 4);
    const std::uint32_t flag = word >> 29;
    const std::uint64_t length = word & kLengthMask;
    if (flag > kLast || first != (flag == kWhole || flag == kFirst))
      return Fail(Damage("parts-broken", offset, "part out of turn: cflag=" + std::to_string(flag)));
    const std::uint64_t begin = record.end + kPartHeaderBytes;
    if (length > size - begin) {
      FERMENT_ASSIGN_OR_RETURN(const auto next, NextStart(begin));
      return Fail(Damage(next ? "length-too-long" : "tail-truncated", offset,
                         "length=" + std::to_string(length) + " left=" + std::to_string(size - begin)));
    }
    record.parts.emplace_back(begin, length);
    record.end = std::min<std::uint64_t>(begin + Aligned(length), size);
    if (flag == kWhole || flag == kLast) break;
  }
  record.followed = record.end == size;
  if (size - record.end >= 4) {
    FERMENT_ASSIGN_OR_RETURN(const std::uint32_t word, WordAt(record.end));
    record.followed = word == kRecordioMagic;
  }
  return record;
}

Result<RawRecord> RecordioReader::Load(const RecordExtent& extent) const {
  RawRecord record = {extent.offset, extent.end, extent.followed, {}, {}};
  const std::span<const std::byte> magic = std::as_bytes(std::span(&kRecordioMagic, 1));
  for (const auto& [begin, length] : extent.parts) {
    FERMENT_ASSIGN_OR_RETURN(io::ByteView part, bytes_->View(begin, length));
    if (extent.parts.size() == 1) {
      record.view = std::move(part);
      break;
    }
    if (begin != extent.parts[0].first) record.joined.insert(record.joined.end(), magic.begin(), magic.end());
    record.joined.insert(record.joined.end(), part.bytes.begin(), part.bytes.end());
  }
  return record;
}

Result<RawRecord> RecordioReader::ReadAt(std::uint64_t offset) const {
  FERMENT_ASSIGN_OR_RETURN(const RecordExtent extent, ExtentAt(offset));
  return Load(extent);
}

Result<std::optional<std::uint64_t>> RecordioReader::NextStart(std::uint64_t offset) const {
  const std::uint64_t size = size_bytes();
  std::uint64_t count = kFirstSearchBytes;
  for (std::uint64_t at = Aligned(offset); at + kPartHeaderBytes <= size; count = kSearchBytes) {
    FERMENT_ASSIGN_OR_RETURN(const io::ByteView view, BytesAt(at, count));
    const auto bytes = view.bytes;
    std::uint64_t i = 0;
    for (; i + kPartHeaderBytes <= bytes.size(); i += 4) {
      if (GetWord(bytes, i) == kRecordioMagic && GetWord(bytes, i + 4) >> 29 <= kFirst) return std::optional(at + i);
    }
    at += i;
  }
  return std::optional<std::uint64_t>();
}

Result<io::ByteView> RecordioReader::BytesAt(std::uint64_t offset, std::uint64_t count) const {
  const std::uint64_t begin = std::min<std::uint64_t>(offset, size_bytes());
  return bytes_->View(begin, std::min(count, size_bytes() - begin));
}

Result<RecordioReader::Scan> RecordioReader::ScanRange(std::uint64_t begin, std::uint64_t end) const {
  Scan scan;
  FERMENT_ASSIGN_OR_RETURN(auto at, NextStart(begin));
  while (at && *at < end) {
    const auto record = ExtentAt(*at);
    std::uint64_t next = *at + 4;
    if (record) {
      scan.records.push_back(*at);
      next = record->end;
      if (!record->followed)
        scan.damage.emplace_back(next,
                                 Damage("bad-magic", next, "no record begins here: after=" + std::to_string(*at)));
    } else if (record.error().code() == StatusCode::kDataLoss) {
      scan.damage.emplace_back(*at, record.error());
    } else {
      return Fail(record.error());
    }
    FERMENT_ASSIGN_OR_RETURN(at, NextStart(next));
  }
  return scan;
}

}  // namespace ferment::dataset
