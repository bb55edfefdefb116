// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "common/base/check.h"
#include "common/io/checksum.h"

namespace ferment::io {
namespace {

constexpr std::size_t kLocalBytes = 30;
constexpr std::size_t kCentralBytes = 46;
constexpr std::size_t kEndBytes = 22;
constexpr std::uint64_t kDeflateMaxRatio = 1032;

template <typename T>
T Get(std::span<const std::byte> bytes, std::uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

Status Damaged(std::string_view what) { return DataLossError("damaged zip: " + std::string(what)); }

/// Sizes that do not fit 32 bits stand in extra field 1, in a fixed order, each only where its 32-bit place holds the
/// mark.
bool ReadZip64Extra(std::span<const std::byte> extra, ZipEntry& entry) {
  while (extra.size() >= 4) {
    const auto id = Get<std::uint16_t>(extra, 0);
    const std::size_t size = Get<std::uint16_t>(extra, 2);
    if (size > extra.size() - 4) return false;
    if (id == 1) {
      auto field = extra.subspan(4, size);
      for (std::uint64_t* value : {&entry.plain_bytes, &entry.packed_bytes, &entry.local_offset}) {
        if (*value != kInZip64Extra) continue;
        if (field.size() < 8) return false;
        *value = Get<std::uint64_t>(field, 0);
        field = field.subspan(8);
      }
    }
    extra = extra.subspan(4 + size);
  }
  return true;
}

std::optional<std::size_t> FindEnd(std::span<const std::byte> bytes) {
  if (bytes.size() < kEndBytes) return std::nullopt;
  const std::size_t first = bytes.size() - std::min<std::size_t>(bytes.size(), kEndBytes + 0xFFFF);
  for (std::size_t at = bytes.size() - kEndBytes + 1; at-- > first;)
    if (Get<std::uint32_t>(bytes, at) == kZipEndMagic) return at;
  return std::nullopt;
}

Result<std::vector<std::byte>> Inflate(std::span<const std::byte> packed, std::uint64_t plain_bytes) {
  if (plain_bytes > packed.size() * kDeflateMaxRatio + 64)
    return Fail(Damaged("claims more than it can hold: plain_bytes=" + std::to_string(plain_bytes)));
  std::vector<std::byte> plain(plain_bytes);
  if (packed.size() > std::numeric_limits<uInt>::max() || plain_bytes > std::numeric_limits<uInt>::max())
    return Fail(Damaged("deflated member past 4 GiB"));
  std::byte nothing = {};
  z_stream stream = {};
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(plain.empty() ? &nothing : plain.data());
  stream.avail_out = static_cast<uInt>(plain.size());
  FERMENT_CHECK(inflateInit2(&stream, -MAX_WBITS) == Z_OK) << "zlib does not start";
  const int code = inflate(&stream, Z_FINISH);
  const bool whole = code == Z_STREAM_END && stream.total_out == plain_bytes;
  inflateEnd(&stream);
  if (!whole) return Fail(Damaged("deflated data are broken"));
  return plain;
}

}  // namespace

Result<std::vector<ZipEntry>> ReadZipDirectory(std::span<const std::byte> bytes) {
  const auto end = FindEnd(bytes);
  if (!end)
    return Fail(Damaged("no zip directory at the end, the file is cut short: bytes=" + std::to_string(bytes.size())));
  const std::size_t count = Get<std::uint16_t>(bytes, *end + 10);
  std::uint64_t at = Get<std::uint32_t>(bytes, *end + 16);
  std::vector<ZipEntry> entries;
  for (std::size_t i = 0; i < count; ++i) {
    if (at > *end || *end - at < kCentralBytes || Get<std::uint32_t>(bytes, at) != kZipCentralMagic)
      return Fail(Damaged("directory entry " + std::to_string(i) + " is broken"));
    const std::size_t name_bytes = Get<std::uint16_t>(bytes, at + 28);
    const std::size_t extra_bytes = Get<std::uint16_t>(bytes, at + 30);
    const std::size_t comment_bytes = Get<std::uint16_t>(bytes, at + 32);
    if (name_bytes + extra_bytes + comment_bytes > *end - at - kCentralBytes)
      return Fail(Damaged("directory entry " + std::to_string(i) + " is cut short"));
    const auto* name = reinterpret_cast<const char*>(bytes.data() + at + kCentralBytes);
    ZipEntry entry = {std::string(name, name_bytes),      Get<std::uint16_t>(bytes, at + 8),
                      Get<std::uint16_t>(bytes, at + 10), Get<std::uint32_t>(bytes, at + 16),
                      Get<std::uint32_t>(bytes, at + 20), Get<std::uint32_t>(bytes, at + 24),
                      Get<std::uint32_t>(bytes, at + 42)};
    if (!ReadZip64Extra(bytes.subspan(at + kCentralBytes + name_bytes, extra_bytes), entry))
      return Fail(Damaged("sizes of member " + entry.name + " are broken"));
    entries.push_back(std::move(entry));
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  }
  return entries;
}

Result<ZipMember> ReadZipMember(std::span<const std::byte> bytes, const ZipEntry& entry) {
  if ((entry.flags & 1U) != 0) return Fail(Damaged("encrypted"));
  if (entry.local_offset > bytes.size() || bytes.size() - entry.local_offset < kLocalBytes ||
      Get<std::uint32_t>(bytes, entry.local_offset) != kZipLocalMagic)
    return Fail(Damaged("no local header: offset=" + std::to_string(entry.local_offset)));
  const std::uint64_t begin = entry.local_offset + kLocalBytes + Get<std::uint16_t>(bytes, entry.local_offset + 26) +
                              Get<std::uint16_t>(bytes, entry.local_offset + 28);
  if (begin > bytes.size() || entry.packed_bytes > bytes.size() - begin)
    return Fail(Damaged("data run past the end: bytes=" + std::to_string(entry.packed_bytes)));
  ZipMember member;
  member.plain = bytes.subspan(begin, entry.packed_bytes);
  if (entry.method == 8) {
    FERMENT_ASSIGN_OR_RETURN(member.inflated, Inflate(member.plain, entry.plain_bytes));
    member.plain = member.inflated;
  } else if (entry.method != 0 || entry.packed_bytes != entry.plain_bytes) {
    return Fail(Damaged("neither stored nor deflated: method=" + std::to_string(entry.method)));
  }
  if (Crc32(member.plain) != entry.crc) return Fail(Damaged("CRC differs"));
  return member;
}

}  // namespace ferment::io
