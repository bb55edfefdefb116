// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/affectnet_faces.h"

#include <array>
#include <cmath>
#include <string>

#include "common/dataset/text_lines.h"
#include "common/io/formats/npz_file.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

constexpr std::size_t kFields2017 = 9;
constexpr std::string_view kExpressionSuffix = "_exp.npy";

/// Returns: the box of columns face_x, face_y, face_width, face_height; nothing for NULL or a width below 1.
std::optional<Box> BoxOf(const std::vector<std::string>& fields) {
  std::array<double, 4> numbers = {};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto number = ParseNumber(fields[1 + i]);
    if (!number || std::abs(*number) > 1e6) return std::nullopt;
    numbers[i] = *number;
  }
  const auto [x, y, width, height] = numbers;
  if (width < 1 || height < 1) return std::nullopt;
  return Box{static_cast<int>(x), static_cast<int>(y), static_cast<int>(x + width), static_cast<int>(y + height)};
}

void AddAffectNet(FaceRow row, int label, FaceCollector& faces) {
  const auto expression = ExpressionOfAffectNet(label);
  if (!expression)
    return faces.Drop(label >= 8 && label <= 10 ? "no-expression" : "class-unknown: " + std::to_string(label));
  faces.AddExpression(std::move(row), *expression);
}

/// Returns: the expression number that the file holds as text. Errors: DataLoss, NotFound.
Result<int> ReadExpression(const std::filesystem::path& file) {
  FERMENT_ASSIGN_OR_RETURN(const io::NpyArray array, io::ReadNpy(file));
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> texts, io::NpyText(array));
  const auto label = texts.size() == 1 ? ParseInteger(texts[0]) : std::nullopt;
  if (!label) return Fail(DataLossError("not one number: file=" + file.string()));
  return *label;
}

}  // namespace

std::filesystem::path AffectNet2017List(const v1::FerSpec& source, FaceSplit split) {
  const std::filesystem::path root = source.path();
  const std::string& named = split == FaceSplit::kTrain ? source.train() : source.validation();
  if (!named.empty()) return root / named;
  return root / "Manually_Annotated_file_lists" / (split == FaceSplit::kTrain ? "training.csv" : "validation.csv");
}

Status CollectAffectNet2017(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces) {
  const std::filesystem::path root = source.path();
  const std::filesystem::path list = AffectNet2017List(source, split);
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(list));
  const std::vector<std::string_view> lines = SplitLines(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].starts_with("subDirectory_filePath") || lines[i].empty()) continue;
    const std::vector<std::string> fields = SplitCsv(lines[i]);
    const auto label = fields.size() < kFields2017 ? std::nullopt : ParseNumber(fields[6]);
    if (!label)
      return DataLossError("row has no expression: file=" + list.string() + " line=" + std::to_string(i + 1) +
                           " fields=" + std::to_string(fields.size()) + " expected=9");
    const auto box = BoxOf(fields);
    if (!box) {
      faces.Drop("face-box-missing");
      continue;
    }
    AddAffectNet({fields[0],
                  {root / "Manually_Annotated" / "Manually_Annotated_Images" / fields[0],
                   root / "Manually_Annotated_Images" / fields[0], root / fields[0]},
                  box},
                 static_cast<int>(*label), faces);
  }
  return {};
}

Status CollectAffectNet2021(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces) {
  const std::string& named = split == FaceSplit::kTrain ? source.train() : source.validation();
  const std::string fallback = split == FaceSplit::kTrain ? "train_set" : "val_set";
  const std::string folder = named.empty() ? fallback : named;
  const std::filesystem::path root = source.path();
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(root / folder / "annotations"));
  for (const std::string& name : names) {
    if (!name.ends_with(kExpressionSuffix)) continue;
    const auto label = ReadExpression(root / folder / "annotations" / name);
    if (!label) {
      faces.Drop("annotation-damaged");
      continue;
    }
    const std::string path = folder + "/images/" + name.substr(0, name.size() - kExpressionSuffix.size()) + ".jpg";
    AddAffectNet({path, {root / path}, std::nullopt}, *label, faces);
  }
  return {};
}

}  // namespace ferment::dataset
