// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/recordio_index.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "common/dataset/records/image_record.h"

namespace ferment::dataset {
namespace {

/// Headers of one range are read while its pages are still at hand.
constexpr std::uint64_t kScanBytes = std::uint64_t{64} << 20;
/// What is read of an index at a time.
constexpr std::uint64_t kIndexPartBytes = std::uint64_t{4} << 20;
constexpr std::size_t kPartHeaderBytes = 8;
constexpr std::size_t kImageHeaderBytes = 24;
constexpr std::uint32_t kLengthMask = (1U << 29) - 1;

std::optional<std::pair<std::uint64_t, std::uint64_t>> ParseLine(std::string_view line) {
  std::pair<std::uint64_t, std::uint64_t> pair;
  const char* end = line.data() + line.size();
  const auto key = std::from_chars(line.data(), end, pair.first);
  if (key.ec != std::errc() || key.ptr == end || (*key.ptr != '\t' && *key.ptr != ' ')) return std::nullopt;
  const auto offset = std::from_chars(key.ptr + 1, end, pair.second);
  return offset.ec == std::errc() && offset.ptr == end ? std::optional(pair) : std::nullopt;
}

void NoteCount(std::uint64_t count, const std::string& what, RecordioIndex& index) {
  if (count > 0) index.oddities.push_back(std::to_string(count) + " " + what);
}

bool ByKey(const IndexEntry& a, const IndexEntry& b) { return a.key < b.key; }

/// A record that a scan came upon.
struct Found {
  std::uint64_t offset = 0;
  /// Whether the container around it is whole.
  bool sound = false;
  /// Nothing where the image header cannot be read.
  std::optional<std::uint64_t> id;
  /// Labels of the pack's header record or of an identity record.
  std::optional<std::pair<float, float>> range;
};

/// Returns: the id in the image header of the record that begins there, sound or not, if its first part holds a header.
Result<std::optional<std::uint64_t>> IdAt(const RecordioReader& reader, std::uint64_t offset) {
  FERMENT_ASSIGN_OR_RETURN(const io::ByteView view, reader.BytesAt(offset, kPartHeaderBytes + kImageHeaderBytes));
  const auto bytes = view.bytes;
  if (bytes.size() < kPartHeaderBytes + kImageHeaderBytes) return std::optional<std::uint64_t>();
  std::uint32_t word = 0;
  std::uint64_t id = 0;
  std::memcpy(&word, bytes.data() + 4, sizeof(word));
  std::memcpy(&id, bytes.data() + kPartHeaderBytes + 8, sizeof(id));
  return (word & kLengthMask) < kImageHeaderBytes ? std::optional<std::uint64_t>() : std::optional(id);
}

Result<Found> SoundAt(const RecordioReader& reader, std::uint64_t offset) {
  FERMENT_ASSIGN_OR_RETURN(const auto id, IdAt(reader, offset));
  Found found{offset, true, id, {}};
  FERMENT_ASSIGN_OR_RETURN(const RawRecord record, reader.ReadAt(offset));
  const auto header = ParseImageRecord(record.payload());
  if (header && header->IsRange()) found.range = {header->labels[0], header->labels[1]};
  return found;
}

/// Adds every place where a record should begin to `offsets`, also one that has lost its magic: whether the record
/// before it is too short or whole only its picture can tell.
Result<std::vector<Found>> FindRecords(const RecordioReader& reader, std::vector<std::uint64_t>& offsets) {
  std::vector<Found> all;
  for (std::uint64_t begin = 0; begin < reader.size_bytes(); begin += kScanBytes) {
    FERMENT_ASSIGN_OR_RETURN(const auto scan, reader.ScanRange(begin, begin + kScanBytes));
    for (const std::uint64_t offset : scan.records) {
      FERMENT_ASSIGN_OR_RETURN(Found found, SoundAt(reader, offset));
      all.push_back(std::move(found));
    }
    for (const auto& [offset, status] : scan.damage) {
      offsets.push_back(offset);
      FERMENT_ASSIGN_OR_RETURN(const auto start, reader.NextStart(offset));
      if (start != offset) continue;
      FERMENT_ASSIGN_OR_RETURN(const auto id, IdAt(reader, offset));
      all.push_back({offset, false, id, {}});
    }
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.offset < b.offset; });
  return all;
}

bool IdsTellRecordsApart(const std::vector<Found>& all) {
  std::vector<std::uint64_t> ids;
  for (const Found& found : all)
    if (found.sound && found.id) ids.push_back(*found.id);
  std::sort(ids.begin(), ids.end());
  return !ids.empty() && std::adjacent_find(ids.begin(), ids.end()) == ids.end();
}

/// Returns: how many records have no key.
std::uint64_t KeyById(const std::vector<Found>& all, RecordioIndex& index) {
  auto& entries = index.entries;
  // Sound records first, so that a damaged one with the same id does not take the key away.
  for (const bool sound : {true, false})
    for (const Found& found : all)
      if (found.sound == sound && found.id) entries.push_back({*found.id, found.offset, std::nullopt});
  std::stable_sort(entries.begin(), entries.end(), ByKey);
  const auto same = [](const IndexEntry& a, const IndexEntry& b) { return a.key == b.key; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  return all.size() - entries.size();
}

void KeyByPosition(const std::vector<Found>& all, RecordioIndex& index) {
  const auto is_range = [](const Found& found) { return found.range.has_value(); };
  std::uint64_t key = std::any_of(all.begin(), all.end(), is_range) ? 1 : 0;
  for (const bool ranges : {false, true})
    for (const Found& found : all)
      if (is_range(found) == ranges) index.entries.push_back({key++, found.offset, std::nullopt});
}

/// Enters the pictures that the record at key 0 counts and that were not found. Returns: how many.
std::uint64_t AddMissing(const std::vector<Found>& all, RecordioIndex& index) {
  auto& entries = index.entries;
  const auto header = std::find_if(all.begin(), all.end(),
                                   [](const Found& found) { return found.sound && found.id == 0 && found.range; });
  if (header == all.end() || !(header->range->first >= 1)) return 0;
  // A header that counts more than twice what is there is not believed.
  const auto most = static_cast<float>(2 * entries.size() + 2);
  const auto images_end = static_cast<std::uint64_t>(std::min(header->range->first, most));
  std::vector<IndexEntry> missing;
  std::size_t at = 0;
  for (std::uint64_t key = 1; key < images_end; ++key) {
    while (at < entries.size() && entries[at].key < key) ++at;
    if (at == entries.size() || entries[at].key != key) missing.push_back({key, IndexEntry::kNowhere, std::nullopt});
  }
  if (missing.size() > entries.size()) return 0;
  const auto middle = entries.insert(entries.end(), missing.begin(), missing.end());
  std::inplace_merge(entries.begin(), middle, entries.end(), ByKey);
  return missing.size();
}

}  // namespace

Result<RecordioIndex> ReadIndex(const io::ByteSource& file, const std::string& name) {
  RecordioIndex index;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> pairs;
  std::uint64_t broken_lines = 0;
  const auto handle_line = [&](std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return;
    ++index.lines;
    if (const auto pair = ParseLine(line)) {
      pairs.push_back(*pair);
    } else {
      ++broken_lines;
    }
  };
  std::string begun;  // a line that goes on in the next part
  for (std::uint64_t at = 0; at < file.size(); at += kIndexPartBytes) {
    FERMENT_ASSIGN_OR_RETURN(const io::ByteView part, file.View(at, std::min(kIndexPartBytes, file.size() - at)));
    std::string_view text(reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size());
    for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
      handle_line(begun.empty() ? text.substr(0, end) : begun.append(text.substr(0, end)));
      begun.clear();
      text.remove_prefix(end + 1);
    }
    begun += text;
  }
  handle_line(begun);
  if (pairs.empty())
    return Fail(DataLossError("index has no line `<key>\\t<offset>`: file=" + name + " lines=" +
                              std::to_string(index.lines) + "; without the file the index is rebuilt from the .rec"));
  std::sort(pairs.begin(), pairs.end());
  for (const auto& [key, offset] : pairs) {
    index.offsets.push_back(offset);
    if (index.entries.empty() || index.entries.back().key != key) {
      index.entries.push_back({key, offset, std::nullopt});
    } else if (index.entries.back().offset != offset) {
      index.entries.back().other = offset;
    }
  }
  std::sort(index.offsets.begin(), index.offsets.end());
  NoteCount(broken_lines, "index lines are not `<key>\\t<offset>` and were passed over", index);
  NoteCount(static_cast<std::uint64_t>(std::count_if(index.entries.begin(), index.entries.end(),
                                                     [](const IndexEntry& entry) { return entry.other.has_value(); })),
            "keys have two index lines with different offsets", index);
  return index;
}

Result<RecordioIndex> RebuildIndex(const RecordioReader& reader) {
  RecordioIndex index;
  FERMENT_ASSIGN_OR_RETURN(const std::vector<Found> all, FindRecords(reader, index.offsets));
  const std::size_t damaged = index.offsets.size();
  for (const Found& found : all) index.offsets.push_back(found.offset);
  std::sort(index.offsets.begin(), index.offsets.end());
  const bool by_id = IdsTellRecordsApart(all);
  index.oddities.push_back("no .idx: rebuilt by reading the .rec through, " + std::to_string(all.size()) +
                           " records; keys are " +
                           (by_id ? "the ids in the image headers" : "positions, since two records share an id"));
  NoteCount(damaged, "places of the .rec are damaged, and the scan went on behind them", index);
  if (by_id) {
    NoteCount(KeyById(all, index), "records have no id of their own and were left out", index);
    NoteCount(AddMissing(all, index), "of the header's pictures have no record of their key", index);
  } else {
    KeyByPosition(all, index);
  }
  return index;
}

}  // namespace ferment::dataset
