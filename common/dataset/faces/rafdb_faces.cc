// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/rafdb_faces.h"

#include <string>
#include <system_error>

#include "common/dataset/text_lines.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

std::filesystem::path DataFolder(const v1::FerSpec& source) {
  std::error_code error;
  const std::filesystem::path given = source.path();
  return std::filesystem::is_directory(given / "basic", error) ? given / "basic" : given;
}

}  // namespace

std::filesystem::path RafDbList(const v1::FerSpec& source, FaceSplit split) {
  const std::string& named = split == FaceSplit::kTrain ? source.train() : source.validation();
  if (!named.empty()) return std::filesystem::path(source.path()) / named;
  return DataFolder(source) / "EmoLabel" / "list_patition_label.txt";
}

Status CollectRafDb(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces) {
  const std::filesystem::path root = DataFolder(source);
  const std::filesystem::path list = RafDbList(source, split);
  const std::string_view prefix = split == FaceSplit::kTrain ? "train_" : "test_";
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(list));
  std::size_t number = 0;
  for (const std::string_view raw : SplitLines(text)) {
    ++number;
    const std::string_view line = Trimmed(raw);
    if (!line.starts_with(prefix)) continue;
    const std::size_t space = line.find(' ');
    const auto label = space == std::string_view::npos ? std::nullopt : ParseInteger(line.substr(space + 1));
    const auto expression = label ? ExpressionOfRafDb(*label) : std::nullopt;
    if (!expression)
      return DataLossError("label is not one of 1..7: file=" + list.string() + " line=" + std::to_string(number) +
                           (label ? " label=" + std::to_string(*label) : "") +
                           "; labels up to 11 belong to the compound subset");
    const std::string name(line.substr(0, space));
    const std::string aligned = name.substr(0, name.rfind('.')) + "_aligned.jpg";
    const std::filesystem::path folder = root / "Image" / "aligned";
    faces.AddExpression({name, {folder / aligned, folder / name}, std::nullopt}, *expression);
  }
  return {};
}

}  // namespace ferment::dataset
