// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/recordio_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace ferment::dataset {
namespace {

constexpr std::uint64_t kPartHeaderBytes = 8;
constexpr std::uint32_t kLengthMask = (1U << 29) - 1;

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
  FERMENT_ASSIGN_OR_RETURN(io::MappedFile file, io::MappedFile::Open(path));
  return RecordioReader(std::move(file));
}

Result<RawRecord> RecordioReader::ReadAt(std::uint64_t offset) const {
  const auto bytes = file_.bytes();
  if (offset >= bytes.size()) return Fail(Damage("idx-past-end", offset, "file_bytes=" + std::to_string(bytes.size())));
  RawRecord record = {offset, offset, false, {}, {}};
  const std::span<const std::byte> magic = std::as_bytes(std::span(&kRecordioMagic, 1));
  for (bool first = true;; first = false) {
    if (bytes.size() - std::min<std::uint64_t>(record.end, bytes.size()) < kPartHeaderBytes)
      return Fail(Damage("tail-truncated", offset,
                         "file ends inside a part header: file_bytes=" + std::to_string(bytes.size())));
    if (record.end % 4 != 0 || GetWord(bytes, record.end) != kRecordioMagic)
      return Fail(Damage(first ? "bad-magic" : "parts-broken", offset, "no magic: at=" + std::to_string(record.end)));
    const std::uint32_t word = GetWord(bytes, record.end + 4);
    const std::uint32_t flag = word >> 29;
    const std::uint64_t length = word & kLengthMask;
    if (flag > kLast || first != (flag == kWhole || flag == kFirst))
      return Fail(Damage("parts-broken", offset, "part out of turn: cflag=" + std::to_string(flag)));
    const std::uint64_t begin = record.end + kPartHeaderBytes;
    if (length > bytes.size() - begin) {
      const bool others_follow = NextStart(begin).has_value();
      return Fail(Damage(others_follow ? "length-too-long" : "tail-truncated", offset,
                         "length=" + std::to_string(length) + " left=" + std::to_string(bytes.size() - begin)));
    }
    const auto part = bytes.subspan(begin, length);
    record.end = std::min<std::uint64_t>(begin + Aligned(length), bytes.size());
    if (flag == kWhole) {
      record.view = part;
      break;
    }
    if (!first) record.joined.insert(record.joined.end(), magic.begin(), magic.end());
    record.joined.insert(record.joined.end(), part.begin(), part.end());
    if (flag == kLast) break;
  }
  record.followed =
      record.end == bytes.size() || (bytes.size() - record.end >= 4 && GetWord(bytes, record.end) == kRecordioMagic);
  return record;
}

std::optional<std::uint64_t> RecordioReader::NextStart(std::uint64_t offset) const {
  const auto bytes = file_.bytes();
  for (std::uint64_t at = Aligned(offset); at + kPartHeaderBytes <= bytes.size(); at += 4) {
    if (GetWord(bytes, at) == kRecordioMagic && GetWord(bytes, at + 4) >> 29 <= kFirst) return at;
  }
  return std::nullopt;
}

std::span<const std::byte> RecordioReader::BytesAt(std::uint64_t offset, std::uint64_t count) const {
  const std::uint64_t begin = std::min<std::uint64_t>(offset, size_bytes());
  return file_.bytes().subspan(begin, std::min(count, size_bytes() - begin));
}

RecordioReader::Scan RecordioReader::ScanRange(std::uint64_t begin, std::uint64_t end) const {
  Scan scan;
  auto at = NextStart(begin);
  while (at && *at < end) {
    auto record = ReadAt(*at);
    std::uint64_t next = *at + 4;
    if (record) {
      scan.records.push_back(*at);
      next = record->end;
      if (!record->followed)
        scan.damage.emplace_back(next,
                                 Damage("bad-magic", next, "no record begins here: after=" + std::to_string(*at)));
    } else {
      scan.damage.emplace_back(*at, record.error());
    }
    at = NextStart(next);
  }
  return scan;
}

}  // namespace ferment::dataset
