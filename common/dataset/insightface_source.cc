// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/insightface_source.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/dataset/image_record.h"
#include "common/dataset/recordio_index.h"
#include "common/dataset/recordio_reader.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

constexpr std::uint64_t kFloatExactBelow = 1ULL << 24;
constexpr int kBoundarySearchSteps = 1024;

class Pack final : public InsightfaceSource {
 public:
  Pack(RecordioReader reader, RecordioIndex index, PackFacts facts)
      : reader_(std::move(reader)), index_(std::move(index)), facts_(std::move(facts)) {}

  std::uint64_t size() const override { return last_ - first_; }
  std::uint64_t KeyAt(std::uint64_t index) const override { return EntryAt(index).key; }
  const PackFacts& facts() const override { return facts_; }

  Result<EncodedRecord> Read(std::uint64_t index) const override {
    const IndexEntry& entry = EntryAt(index);
    auto record = ReadEntry(entry);
    if (!record) {
      const std::string message(record.error().message());
      return Fail(DataLossError(message + " key=" + std::to_string(entry.key)));
    }
    return record;
  }

  /// Decides which keys are pictures; call once, before the pack is shared.
  void FindImages() {
    NoteIndexOddities();
    first_ = 0;
    last_ = index_.entries.size();
    const auto header = ReadHeaderRecord();
    if (header) {
      UseHeader(header->first, header->second);
    } else if (index_.entries.front().key == 0) {
      facts_.oddities.push_back("no header record at key 0: taken as an im2rec pack, in which every key is a picture");
    } else {
      DropIdentityRecords();
    }
    facts_.images = size();
  }

 private:
  const IndexEntry& EntryAt(std::uint64_t index) const { return index_.entries[first_ + index]; }

  Result<EncodedRecord> ReadEntry(const IndexEntry& entry) const {
    if (entry.other)
      return Fail(DataLossError("idx-duplicate-key: offsets=" + std::to_string(entry.offset) + "," +
                                std::to_string(*entry.other)));
    if (entry.offset == IndexEntry::kNowhere)
      return Fail(DataLossError("record-missing: the header counts it, reading the .rec through did not find it"));
    FERMENT_ASSIGN_OR_RETURN(RawRecord record, reader_.ReadAt(entry.offset));
    if (record.payload().empty()) return Fail(ParseImageRecord({}).error());
    if (!record.followed && !std::binary_search(index_.offsets.begin(), index_.offsets.end(), record.end))
      return Fail(DataLossError("length-too-short: no record begins at its end: offset=" +
                                std::to_string(entry.offset) + " end=" + std::to_string(record.end)));
    FERMENT_ASSIGN_OR_RETURN(const ImageRecord header, ParseImageRecord(record.payload()));
    if (header.image.empty())
      return Fail(
          DataLossError("jpeg-empty: header and labels without a picture: offset=" + std::to_string(entry.offset)));
    if (record.joined.empty()) return EncodedRecord(entry.key, header.image);
    return EncodedRecord(entry.key, std::vector<std::byte>(header.image.begin(), header.image.end()));
  }

  /// Returns: labels of a record that holds two numbers and no picture: the pack's header or an identity.
  std::optional<std::pair<float, float>> ReadRange(const IndexEntry& entry) const {
    const auto record = reader_.ReadAt(entry.offset);
    if (!record) return std::nullopt;
    const auto header = ParseImageRecord(record->payload());
    if (!header || !header->IsRange()) return std::nullopt;
    return std::pair(header->labels[0], header->labels[1]);
  }

  std::optional<std::pair<std::uint64_t, std::uint64_t>> ReadHeaderRecord() {
    if (index_.entries.front().key != 0) {
      facts_.oddities.push_back(
          "the index has no key 0: pictures are told from identity records by reading each record");
      return std::nullopt;
    }
    const auto range = ReadRange(index_.entries.front());
    if (!range || !(range->first >= 1) || !(range->second >= range->first) || range->second > 1e15F)
      return std::nullopt;
    return std::pair(static_cast<std::uint64_t>(range->first), static_cast<std::uint64_t>(range->second));
  }

  void UseHeader(std::uint64_t images_end, std::uint64_t identities_end) {
    facts_.has_header = true;
    first_ = PositionOf(1);
    last_ = PositionOf(images_end);
    if (images_end >= kFloatExactBelow || identities_end >= kFloatExactBelow) CorrectRounding();
    facts_.identity_records = PositionOf(identities_end) - std::min(last_, PositionOf(identities_end));
    const std::uint64_t keys = index_.entries.size();
    if (keys != identities_end)
      facts_.oddities.push_back("the header counts " + std::to_string(identities_end) + " records, the index " +
                                std::to_string(keys) + " keys");
    if (size() + 1 < images_end)
      facts_.oddities.push_back(std::to_string(images_end - 1 - size()) + " of the header's " +
                                std::to_string(images_end - 1) + " pictures are not in the index");
  }

  /// The header's numbers are float32 and past 2^24 may be off by a few: looks for the true boundary around them.
  void CorrectRounding() {
    const std::uint64_t before = last_;
    for (int step = 0; step < kBoundarySearchSteps && last_ < index_.entries.size(); ++step) {
      if (ReadRange(index_.entries[last_])) break;
      ++last_;
    }
    for (int step = 0; step < kBoundarySearchSteps && last_ > first_; ++step) {
      if (!ReadRange(index_.entries[last_ - 1])) break;
      --last_;
    }
    if (last_ != before)
      facts_.oddities.push_back("the header's picture count is rounded: corrected by " +
                                std::to_string(static_cast<std::int64_t>(last_) - static_cast<std::int64_t>(before)));
  }

  void DropIdentityRecords() {
    auto& entries = index_.entries;
    const std::size_t before = entries.size();
    entries.erase(std::remove_if(entries.begin(), entries.end(),
                                 [this](const IndexEntry& entry) { return ReadRange(entry).has_value(); }),
                  entries.end());
    facts_.identity_records = before - entries.size();
    last_ = entries.size();
  }

  void NoteIndexOddities() {
    facts_.index_lines = index_.lines;
    facts_.oddities = index_.oddities;
    const auto past_end = std::count_if(index_.offsets.begin(), index_.offsets.end(),
                                        [this](std::uint64_t at) { return at >= reader_.size_bytes(); });
    if (past_end > 0)
      facts_.oddities.push_back(std::to_string(past_end) + " index lines point past the end of the .rec");
  }

  std::uint64_t PositionOf(std::uint64_t key) const {
    const auto at = std::lower_bound(index_.entries.begin(), index_.entries.end(), key,
                                     [](const IndexEntry& entry, std::uint64_t wanted) { return entry.key < wanted; });
    return static_cast<std::uint64_t>(at - index_.entries.begin());
  }

  RecordioReader reader_;
  RecordioIndex index_;
  PackFacts facts_;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
};

/// Returns: the folder's train.rec, or its only .rec.
Result<std::filesystem::path> FindRec(const std::filesystem::path& path) {
  if (path.extension() == ".rec") return path;
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(path));
  if (std::binary_search(names.begin(), names.end(), "train.rec")) return path / "train.rec";
  std::vector<std::string> recs;
  std::copy_if(names.begin(), names.end(), std::back_inserter(recs),
               [](const std::string& name) { return name.ends_with(".rec"); });
  if (recs.size() == 1) return path / recs[0];
  return Fail(NotFoundError("no train.rec: folder=" + path.string() + " .rec files=" + std::to_string(recs.size()) +
                            "; data.fr.path names the folder of an InsightFace pack (train.rec, train.idx, property)"));
}

}  // namespace

Result<std::unique_ptr<InsightfaceSource>> OpenInsightfacePack(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const std::filesystem::path rec, FindRec(path));
  FERMENT_ASSIGN_OR_RETURN(RecordioReader reader, RecordioReader::Open(rec));
  auto index = ReadIndex(std::filesystem::path(rec).replace_extension(".idx"));
  if (!index) {
    if (index.error().code() != StatusCode::kNotFound) return Fail(index.error());
    index = RebuildIndex(reader);
    if (index->entries.empty()) return Fail(DataLossError("no record in the pack, and no .idx: file=" + rec.string()));
  }
  PackFacts facts;
  if (const auto property = io::ReadTextFile(rec.parent_path() / "property"))
    facts.property = property->substr(0, property->find_first_of("\r\n"));
  auto pack = std::make_unique<Pack>(std::move(reader), *std::move(index), std::move(facts));
  pack->FindImages();
  if (pack->size() == 0)
    return Fail(DataLossError("pack has no picture: file=" + rec.string() +
                              " index_lines=" + std::to_string(pack->facts().index_lines)));
  return std::unique_ptr<InsightfaceSource>(std::move(pack));
}

}  // namespace ferment::dataset
