// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/face_list.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <utility>

#include "common/base/logging.h"
#include "common/dataset/faces/affectnet_faces.h"
#include "common/dataset/faces/expw_faces.h"
#include "common/dataset/faces/face_collector.h"
#include "common/dataset/faces/ferplus_faces.h"
#include "common/dataset/faces/folder_faces.h"
#include "common/dataset/faces/rafdb_faces.h"
#include "common/dataset/pictures/picture_decoder.h"

namespace ferment::dataset {
namespace {

struct Format {
  std::string_view name;
  Status (*collect)(const v1::FerSpec&, FaceSplit, FaceCollector&);
  /// Null where no file names the rows.
  std::filesystem::path (*list)(const v1::FerSpec&, FaceSplit);
};

constexpr std::array<Format, 6> kFormats = {{{"folder", CollectFolderFaces, FolderFacesList},
                                             {"affectnet2017", CollectAffectNet2017, AffectNet2017List},
                                             {"affectnet2021", CollectAffectNet2021, nullptr},
                                             {"expw", CollectExpW, ExpWList},
                                             {"rafdb", CollectRafDb, RafDbList},
                                             {"ferplus", CollectFerPlus, FerPlusList}}};

/// Returns: null where there is no such format.
const Format* FormatOf(const v1::FerSpec& source) {
  const std::string_view name = source.format().empty() ? "folder" : std::string_view(source.format());
  const auto* const found = std::ranges::find(kFormats, name, &Format::name);
  return found == kFormats.end() ? nullptr : &*found;
}

void Append(FaceList from, FaceList& to) {
  to.rows += from.rows;
  to.faces.insert(to.faces.end(), std::move_iterator(from.faces.begin()), std::move_iterator(from.faces.end()));
  for (std::size_t i = 0; i < from.per_class.size(); ++i) to.per_class[i] += from.per_class[i];
  for (const auto& [reason, count] : from.dropped) to.dropped[reason] += count;
  to.oddities.insert(to.oddities.end(), from.oddities.begin(), from.oddities.end());
}

/// Returns: "class-not-in-run: Fear 12, image-missing 3".
std::string DroppedText(const FaceList& list) {
  std::string text;
  for (const auto& [reason, count] : list.dropped)
    text += (text.empty() ? "" : ", ") + reason + " " + std::to_string(count);
  return text;
}

Status CheckFaces(const FaceList& list, FaceSplit split, const ClassMap& classes) {
  const bool train = split == FaceSplit::kTrain;
  const std::string dropped = list.dropped.empty() ? "nothing dropped" : "dropped: " + DroppedText(list);
  if (list.faces.empty())
    return DataLossError(std::string("no ") + (train ? "training" : "validation") +
                         " face is left: rows=" + std::to_string(list.rows) + "; " + dropped + "; see data.fer");
  if (!train) return {};  // a class without one has no figure, which others have
  for (std::size_t label = 0; label < list.per_class.size(); ++label)
    if (list.per_class[label] == 0)
      return DataLossError("class without a training face: class=" + classes.names()[label] +
                           " faces=" + std::to_string(list.faces.size()) + "; " + dropped +
                           "; add faces or leave it out of `classes`");
  return {};
}

void LogLeftOut(const v1::FerSpec& source, FaceSplit split, const FaceList& list) {
  if (list.dropped.empty()) return;
  std::uint64_t rows = 0;
  for (const auto& [reason, count] : list.dropped) rows += count;
  const bool train = split == FaceSplit::kTrain;
  LogInfo("faces.left_out", {{"set", train ? "train" : "validation"},
                             {"source", source.path()},
                             {"list", train ? source.train() : source.validation()},
                             {"rows", list.rows},
                             {"left_out", rows},
                             {"why", DroppedText(list)}});
}

/// Returns: the path from `folder` to `file`; empty where it does not lie below.
std::string PathBelow(const std::filesystem::path& file, const std::filesystem::path& folder) {
  if (folder.empty()) return "";
  const std::filesystem::path relative = file.lexically_relative(std::filesystem::absolute(folder).lexically_normal());
  return relative.empty() || *relative.begin() == ".." ? "" : relative.generic_string();
}

}  // namespace

Result<FaceList> LoadFaceSource(const v1::FerSpec& source, const ClassMap& classes, FaceSplit split) {
  const Format* format = FormatOf(source);
  if (format == nullptr) {
    return Fail(InvalidArgumentError("unknown data.fer.format: " + source.format() +
                                     "; one of folder, affectnet2017, affectnet2021, expw, rafdb, ferplus"));
  }
  FaceCollector collector(classes);
  FERMENT_RETURN_IF_ERROR(format->collect(source, split, collector));
  return collector.Finish();
}

std::filesystem::path ListFile(const v1::FerSpec& source, FaceSplit split) {
  const Format* format = FormatOf(source);
  return format == nullptr || format->list == nullptr ? std::filesystem::path() : format->list(source, split);
}

Result<FaceList> LoadFaces(const RunSpec& spec, FaceSplit split) {
  const ClassMap classes(spec.classes(), ContemptRuleOf(spec.data().contempt()));
  FaceList all;
  all.per_class.resize(static_cast<std::size_t>(classes.size()));
  if (spec.data().fer().empty())
    return Fail(InvalidArgumentError("data.fer is not set: give the folder of the labelled faces"));
  for (const v1::FerSpec& source : spec.data().fer()) {
    auto list = LoadFaceSource(source, classes, split);
    if (!list) return Fail(list.error().With("data.fer"));
    LogLeftOut(source, split, *list);
    Append(*std::move(list), all);
  }
  FERMENT_RETURN_IF_ERROR(CheckFaces(all, split, classes));
  return all;
}

Result<Image> ReadFace(const LabelledFace& face) {
  auto image = DecodePictureFile(face.file);
  if (!image || !face.box) return image;
  Image cropped = Crop(*image, *face.box);
  if (cropped.rgb.empty())
    return Fail(DataLossError("face-box-outside: box=" + std::to_string(face.box->left) + "," +
                              std::to_string(face.box->top) + "," + std::to_string(face.box->right) + "," +
                              std::to_string(face.box->bottom) + " picture=" + std::to_string(image->width) + "x" +
                              std::to_string(image->height)));
  return cropped;
}

std::string ListedPath(const RunSpec& spec, const LabelledFace& face, const std::filesystem::path& rendered) {
  const std::filesystem::path file = std::filesystem::absolute(face.file).lexically_normal();
  const std::string relative = PathBelow(file, spec.data().root());
  return relative.empty() || !PathBelow(file, rendered).empty() ? file.generic_string() : relative;
}

}  // namespace ferment::dataset
