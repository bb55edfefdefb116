// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/data_scan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>
#include <system_error>
#include <vector>

#include "common/dataset/expression.h"
#include "common/dataset/faces/face_list.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/folder_source.h"
#include "common/dataset/records/insightface_source.h"
#include "common/dataset/videos/video_folder.h"
#include "common/dataset/videos/video_scan.h"
#include "common/io/local_file_system.h"
#include "common/io/object/object_url.h"

namespace ferment::dataset {
namespace {

constexpr std::size_t kMaxListedDamage = 1000;

struct Sign {
  std::string_view format;
  std::string_view name;
};

/// What `folder` is called here where its lists are of videos.
constexpr std::string_view kVideoFolder = "video-folder";

/// In the order of how much a name tells.
constexpr std::array<Sign, 15> kSigns = {{{"insightface", "train.rec"},
                                          {"affwild2", "cropped_aligned"},
                                          {"affwild2", "cropped"},
                                          {"affectnet2017", "Manually_Annotated_file_lists"},
                                          {"affectnet2021", "train_set/annotations"},
                                          {"affectnet2021", "val_set/annotations"},
                                          {"expw", "data/label/label.lst"},
                                          {"expw", "label/label.lst"},
                                          {"rafdb", "EmoLabel"},
                                          {"rafdb", "basic/EmoLabel"},
                                          {"ferplus", "fer2013new.csv"},
                                          {"folder", "train.csv"},
                                          {"folder", "val.csv"},
                                          {"folder", "validation.csv"},
                                          {"folder", "train"}}};

/// Counts of what could not be read, and the first of them by name.
class DamageTally {
 public:
  void Add(const Json& where, const Status& status) {
    const std::string reason = DamageReason(status);
    counts_[reason] = counts_.value(reason, 0) + 1;
    ++total_;
    if (listed_.size() >= kMaxListedDamage) return;
    Json row = where;
    row["reason"] = reason;
    row["message"] = status.message();
    listed_.push_back(std::move(row));
  }
  std::uint64_t total() const { return total_; }
  const Json& counts() const { return counts_; }
  const Json& listed() const { return listed_; }

 private:
  std::uint64_t total_ = 0;
  Json counts_ = Json::object();
  Json listed_ = Json::array();
};

/// Every how manyth picture is decoded.
std::uint64_t DecodeStride(std::uint64_t pictures) { return (pictures + kMaxDecodedInScan - 1) / kMaxDecodedInScan; }

/// Decoded pictures by "HEIGHTxWIDTH".
using SizeTally = std::map<std::string, std::uint64_t>;

std::string SizeText(int height, int width) { return std::to_string(height) + "x" + std::to_string(width); }

Result<SizeTally> ScanRecords(const RecordSource& source, Json& found) {
  SizeTally sizes;
  DamageTally damage;
  std::uint64_t decoded = 0;
  const std::uint64_t stride = std::max<std::uint64_t>(1, DecodeStride(source.size()));
  for (std::uint64_t i = 0; i < source.size(); ++i) {
    const auto record = source.Read(i);
    if (!record && record.error().code() != StatusCode::kDataLoss) return Fail(record.error());
    if (!record) {
      damage.Add({{"key", source.KeyAt(i)}}, record.error());
      continue;
    }
    if (i % stride != 0) continue;
    ++decoded;
    const auto image = DecodePicture(record->image);
    if (image) {
      ++sizes[SizeText(image->height, image->width)];
    } else {
      damage.Add({{"key", source.KeyAt(i)}}, image.error());
    }
  }
  found["records"] = source.size();
  found["sound"] = source.size() - damage.total();
  found["damaged"] = damage.total();
  found["decoded"] = decoded;
  found["damage"] = damage.counts();
  found["damaged_records"] = damage.listed();
  return sizes;
}

/// Returns: what is odd about a pack's `property` (classes, height, width) beside the pictures it has, if anything.
std::optional<std::string> SizeOddity(const std::string& property, const SizeTally& sizes) {
  int classes = 0;
  int height = 0;
  int width = 0;
  if (std::sscanf(property.c_str(), "%d,%d,%d", &classes, &height, &width) != 3) return std::nullopt;
  const std::string promised = SizeText(height, width);
  std::uint64_t others = 0;
  std::uint64_t most = 0;
  std::string commonest;
  for (const auto& [size, count] : sizes) {
    if (size == promised) continue;
    others += count;
    if (count > most) commonest = size;
    most = std::max(most, count);
  }
  if (others == 0) return std::nullopt;
  return "property says pictures of " + promised + ", but " + std::to_string(others) +
         " of those decoded have another size, most of them " + commonest +
         "; a run resizes every picture to model.image_size";
}

Json ScanFaces(const v1::FerSpec& source, FaceSplit split) {
  const ClassMap classes(kExpressionNames);
  const auto list = LoadFaceSource(source, classes, split);
  if (!list) return {{"error", list.error().message()}};
  DamageTally damage;
  std::uint64_t decoded = 0;
  const std::uint64_t stride = std::max<std::uint64_t>(1, DecodeStride(list->faces.size()));
  for (std::size_t i = 0; i < list->faces.size(); i += stride) {
    ++decoded;
    const auto image = ReadFace(list->faces[i]);
    if (!image) damage.Add({{"path", list->faces[i].path}}, image.error());
  }
  return {{"rows", list->rows},
          {"faces", list->faces.size()},
          {"per_class", ClassCounts(list->per_class)},
          {"dropped", list->dropped},
          {"decoded", decoded},
          {"damage", damage.counts()},
          {"damaged_faces", damage.listed()},
          {"oddities", list->oddities}};
}

Status ScanPack(const std::filesystem::path& path, Json& found) {
  FERMENT_ASSIGN_OR_RETURN(const std::unique_ptr<InsightfaceSource> pack, OpenInsightfacePack(path.string()));
  const PackFacts& facts = pack->facts();
  found["property"] = facts.property;
  found["index_lines"] = facts.index_lines;
  found["has_header"] = facts.has_header;
  found["identity_records"] = facts.identity_records;
  found["oddities"] = facts.oddities;
  FERMENT_ASSIGN_OR_RETURN(const SizeTally sizes, ScanRecords(*pack, found));
  if (const auto oddity = SizeOddity(facts.property, sizes)) found["oddities"].push_back(*oddity);
  return {};
}

Status ScanFolder(const std::filesystem::path& path, Json& found) {
  FERMENT_ASSIGN_OR_RETURN(const std::unique_ptr<RecordSource> source, OpenFolderSource(path));
  const auto sizes = ScanRecords(*source, found);
  return sizes ? Status() : sizes.error();
}

/// Returns: the format that a name in the folder stands for; empty without one.
std::string_view SignedFormat(const std::filesystem::path& path, const std::vector<std::string>& names) {
  std::error_code error;
  for (const Sign& sign : kSigns)
    if (std::filesystem::exists(path / sign.name, error))
      return sign.format == "folder" && ListsVideos(path / sign.name) ? kVideoFolder : sign.format;
  for (const std::string& name : names)
    if (name.ends_with(".rec")) return "insightface";
  return {};
}

/// Returns: the folders in a data.root that hold data: those whose names speak for a format and, beside such ones, `fr`
/// with pictures alone. `names`: all in the root.
std::vector<std::string> PartsOf(const std::filesystem::path& root, const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  bool any_signed = false;
  for (const std::string& name : names) {
    const auto inside = io::ListFolder(root / name);
    if (!inside) continue;
    const bool is_signed = !SignedFormat(root / name, *inside).empty();
    any_signed |= is_signed;
    if (is_signed || (name == "fr" && OpenFolderSource(root / name))) parts.push_back(name);
  }
  return any_signed ? parts : std::vector<std::string>();
}

Status ScanRoot(const std::filesystem::path& root, Json& found) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(root));
  for (const std::string& part : PartsOf(root, names)) {
    FERMENT_ASSIGN_OR_RETURN(const std::string format, GuessFormat(root / part));
    FERMENT_ASSIGN_OR_RETURN(found["parts"][part], ScanData(root / part, format));
  }
  if (!found.contains("parts")) return NotFoundError("no folder of data in it: path=" + root.string());
  return {};
}

}  // namespace

Result<std::string> GuessFormat(const std::filesystem::path& path) {
  if (io::IsObjectUrl(path.string())) return std::string("insightface");
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(path));
  if (const std::string_view format = SignedFormat(path, names); !format.empty()) return std::string(format);
  if (!PartsOf(path, names).empty()) return std::string("root");
  if (OpenFolderSource(path)) return std::string("fr-folder");
  return Fail(NotFoundError("nothing in the folder is of a known format: path=" + path.string() +
                            "; name one with --format (insightface, affwild2, folder, affectnet2017, affectnet2021, "
                            "expw, rafdb, ferplus, root, fr-folder, video-folder)"));
}

std::optional<std::string_view> VideoFormatOf(std::string_view format) {
  if (format == "affwild2") return format;
  if (format == kVideoFolder) return "folder";
  return std::nullopt;
}

Result<Json> ScanData(const std::filesystem::path& path, std::string_view format) {
  Json found = {{"format", format}, {"path", path.string()}};
  if (format == "insightface") {
    FERMENT_RETURN_IF_ERROR(ScanPack(path, found));
  } else if (format == "fr-folder") {
    FERMENT_RETURN_IF_ERROR(ScanFolder(path, found));
  } else if (format == "root") {
    FERMENT_RETURN_IF_ERROR(ScanRoot(path, found));
  } else if (const auto videos = VideoFormatOf(format)) {
    FERMENT_RETURN_IF_ERROR(ScanVideos(*videos, path, found));
  } else {
    v1::FerSpec source;
    source.set_format(std::string(format));
    source.set_path(path.string());
    const auto probe = LoadFaceSource(source, ClassMap(kExpressionNames), FaceSplit::kTrain);
    if (!probe && probe.error().code() == StatusCode::kInvalidArgument) return Fail(probe.error());
    found["train"] = ScanFaces(source, FaceSplit::kTrain);
    found["validation"] = ScanFaces(source, FaceSplit::kValidation);
    if (found["train"].contains("error") && found["validation"].contains("error"))
      return Fail(NotFoundError(found["train"]["error"].get<std::string>()));
  }
  return found;
}

}  // namespace ferment::dataset
