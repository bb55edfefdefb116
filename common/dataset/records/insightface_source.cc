// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/insightface_source.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "common/dataset/records/image_record.h"
#include "common/dataset/records/pack_folder.h"
#include "common/dataset/records/recordio_index.h"
#include "common/dataset/records/recordio_reader.h"

namespace ferment::dataset {
namespace {

constexpr std::uint64_t kFloatExactBelow = 1ULL << 24;
constexpr int kBoundarySearchSteps = 1024;
constexpr std::uint64_t kMostPropertyBytes = 4096;

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
    if (record) return record;
    const std::string key = "key=" + std::to_string(entry.key);
    if (record.error().code() != StatusCode::kDataLoss) return Fail(record.error().With("reading a record, " + key));
    return Fail(DataLossError(std::string(record.error().message()) + " " + key));
  }

  /// Decides which keys are pictures; call once, before the pack is shared. Errors: those of the pack's bytes.
  Status FindImages() {
    NoteIndexOddities();
    first_ = 0;
    last_ = index_.entries.size();
    FERMENT_ASSIGN_OR_RETURN(const auto header, ReadHeaderRecord());
    if (header) {
      FERMENT_RETURN_IF_ERROR(UseHeader(header->first, header->second));
    } else if (index_.entries.front().key == 0) {
      facts_.oddities.push_back("no header record at key 0: taken as an im2rec pack, in which every key is a picture");
    } else {
      FERMENT_RETURN_IF_ERROR(DropIdentityRecords());
    }
    facts_.images = size();
    return {};
  }

 private:
  const IndexEntry& EntryAt(std::uint64_t index) const { return index_.entries[first_ + index]; }

  Result<EncodedRecord> ReadEntry(const IndexEntry& entry) const {
    if (entry.other)
      return Fail(DataLossError("idx-duplicate-key: offsets=" + std::to_string(entry.offset) + "," +
                                std::to_string(*entry.other)));
    if (entry.offset == IndexEntry::kNowhere)
      return Fail(DataLossError("record-missing: the header counts it, reading the .rec through did not find it"));
    FERMENT_ASSIGN_OR_RETURN(const RecordExtent extent, reader_.ExtentAt(entry.offset));
    if (extent.empty()) return Fail(ParseImageRecord({}).error());
    if (!extent.followed && !std::binary_search(index_.offsets.begin(), index_.offsets.end(), extent.end))
      return Fail(DataLossError("length-too-short: no record begins at its end: offset=" +
                                std::to_string(entry.offset) + " end=" + std::to_string(extent.end)));
    FERMENT_ASSIGN_OR_RETURN(const RawRecord record, reader_.Load(extent));
    FERMENT_ASSIGN_OR_RETURN(const ImageRecord header, ParseImageRecord(record.payload()));
    if (header.image.empty())
      return Fail(
          DataLossError("jpeg-empty: header and labels without a picture: offset=" + std::to_string(entry.offset)));
    if (record.in_place()) return EncodedRecord(entry.key, header.image);
    return EncodedRecord(entry.key, std::vector<std::byte>(header.image.begin(), header.image.end()));
  }

  /// Returns: labels of a record that holds two numbers and no picture: the pack's header or an identity.
  Result<std::optional<std::pair<float, float>>> ReadRange(const IndexEntry& entry) const {
    const auto record = reader_.ReadAt(entry.offset);
    if (!record && record.error().code() != StatusCode::kDataLoss) return Fail(record.error());
    std::optional<std::pair<float, float>> range;
    const auto header = record ? ParseImageRecord(record->payload()) : Result<ImageRecord>(Fail(record.error()));
    if (header && header->IsRange()) range = {header->labels[0], header->labels[1]};
    return range;
  }

  Result<std::optional<std::pair<std::uint64_t, std::uint64_t>>> ReadHeaderRecord() {
    std::optional<std::pair<std::uint64_t, std::uint64_t>> counts;
    if (index_.entries.front().key != 0) {
      facts_.oddities.push_back(
          "the index has no key 0: pictures are told from identity records by reading each record");
      return counts;
    }
    FERMENT_ASSIGN_OR_RETURN(const auto range, ReadRange(index_.entries.front()));
    if (range && range->first >= 1 && range->second >= range->first && range->second <= 1e15F)
      counts = {static_cast<std::uint64_t>(range->first), static_cast<std::uint64_t>(range->second)};
    return counts;
  }

  Status UseHeader(std::uint64_t images_end, std::uint64_t identities_end) {
    facts_.has_header = true;
    first_ = PositionOf(1);
    last_ = PositionOf(images_end);
    if (images_end >= kFloatExactBelow || identities_end >= kFloatExactBelow)
      FERMENT_RETURN_IF_ERROR(CorrectRounding());
    facts_.identity_records = PositionOf(identities_end) - std::min(last_, PositionOf(identities_end));
    const std::uint64_t keys = index_.entries.size();
    if (keys != identities_end)
      facts_.oddities.push_back("the header counts " + std::to_string(identities_end) + " records, the index " +
                                std::to_string(keys) + " keys");
    if (size() + 1 < images_end)
      facts_.oddities.push_back(std::to_string(images_end - 1 - size()) + " of the header's " +
                                std::to_string(images_end - 1) + " pictures are not in the index");
    return {};
  }

  /// The header's numbers are float32 and past 2^24 may be off by a few: looks for the true boundary around them.
  Status CorrectRounding() {
    const std::uint64_t before = last_;
    for (int step = 0; step < kBoundarySearchSteps && last_ < index_.entries.size(); ++step) {
      FERMENT_ASSIGN_OR_RETURN(const auto range, ReadRange(index_.entries[last_]));
      if (range) break;
      ++last_;
    }
    for (int step = 0; step < kBoundarySearchSteps && last_ > first_; ++step) {
      FERMENT_ASSIGN_OR_RETURN(const auto range, ReadRange(index_.entries[last_ - 1]));
      if (!range) break;
      --last_;
    }
    if (last_ != before)
      facts_.oddities.push_back("the header's picture count is rounded: corrected by " +
                                std::to_string(static_cast<std::int64_t>(last_) - static_cast<std::int64_t>(before)));
    return {};
  }

  Status DropIdentityRecords() {
    std::vector<IndexEntry> pictures;
    for (const IndexEntry& entry : index_.entries) {
      FERMENT_ASSIGN_OR_RETURN(const auto range, ReadRange(entry));
      if (!range) pictures.push_back(entry);
    }
    facts_.identity_records = index_.entries.size() - pictures.size();
    index_.entries = std::move(pictures);
    last_ = index_.entries.size();
    return {};
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

/// A pack's .rec: its folder, and its name there.
struct RecPlace {
  std::unique_ptr<PackFolder> folder;
  std::string rec;
};

/// Returns: the .rec that `path` names, or the folder's train.rec, or its only .rec.
Result<RecPlace> FindRec(const std::string& path, const std::stop_token& stop) {
  if (path.ends_with(".rec")) {
    const std::size_t slash = path.find_last_of('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    FERMENT_ASSIGN_OR_RETURN(auto opened, OpenPackFolder(folder, stop));
    return RecPlace{std::move(opened), slash == std::string::npos ? path : path.substr(slash + 1)};
  }
  FERMENT_ASSIGN_OR_RETURN(auto folder, OpenPackFolder(path, stop));
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder->Names());
  if (std::binary_search(names.begin(), names.end(), "train.rec")) return RecPlace{std::move(folder), "train.rec"};
  std::vector<std::string> recs;
  std::copy_if(names.begin(), names.end(), std::back_inserter(recs),
               [](const std::string& name) { return name.ends_with(".rec"); });
  if (recs.size() == 1) return RecPlace{std::move(folder), recs[0]};
  return Fail(NotFoundError("no train.rec: folder=" + path + " .rec files=" + std::to_string(recs.size()) +
                            "; data.fr.path names the folder of an InsightFace pack (train.rec, train.idx, property)"));
}

Result<RecordioIndex> IndexOf(const RecPlace& place, const RecordioReader& reader) {
  const std::string name = place.rec.substr(0, place.rec.size() - 4) + ".idx";
  const auto file = place.folder->OpenFile(name);
  if (file) return ReadIndex(**file, place.folder->NameOf(name));
  if (file.error().code() != StatusCode::kNotFound) return Fail(file.error());
  FERMENT_ASSIGN_OR_RETURN(RecordioIndex index, RebuildIndex(reader));
  if (index.entries.empty())
    return Fail(DataLossError("no record in the pack, and no .idx: file=" + place.folder->NameOf(place.rec)));
  return index;
}

/// Returns: the first line of `property`; empty where there is none.
std::string PropertyOf(const PackFolder& folder) {
  const auto file = folder.OpenFile("property");
  const auto view = file ? (*file)->View(0, std::min(kMostPropertyBytes, (*file)->size())) : Fail(file.error());
  if (!view) return "";
  const std::string text(reinterpret_cast<const char*>(view->bytes.data()), view->bytes.size());
  return text.substr(0, text.find_first_of("\r\n"));
}

}  // namespace

Result<std::unique_ptr<InsightfaceSource>> OpenInsightfacePack(const std::string& path, const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const RecPlace place, FindRec(path, stop));
  FERMENT_ASSIGN_OR_RETURN(std::unique_ptr<io::ByteSource> bytes, place.folder->OpenFile(place.rec));
  RecordioReader reader(std::move(bytes));
  FERMENT_ASSIGN_OR_RETURN(RecordioIndex index, IndexOf(place, reader));
  PackFacts facts;
  facts.property = PropertyOf(*place.folder);
  auto pack = std::make_unique<Pack>(std::move(reader), std::move(index), std::move(facts));
  FERMENT_RETURN_IF_ERROR(pack->FindImages());
  if (pack->size() == 0)
    return Fail(DataLossError("pack has no picture: file=" + place.folder->NameOf(place.rec) +
                              " index_lines=" + std::to_string(pack->facts().index_lines)));
  return std::unique_ptr<InsightfaceSource>(std::move(pack));
}

Status FindInsightfacePack(const std::string& path, const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const RecPlace place, FindRec(path, stop));
  const auto rec = place.folder->OpenFile(place.rec);
  return rec ? Status() : rec.error();
}

}  // namespace ferment::dataset
