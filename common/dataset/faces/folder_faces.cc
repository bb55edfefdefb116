// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/folder_faces.h"

#include <algorithm>
#include <array>
#include <string>
#include <system_error>

#include "common/dataset/text_lines.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

constexpr std::array<std::string_view, 5> kPathColumns = {"path", "image", "file", "filename", "image_path"};

constexpr std::array<std::string_view, 5> kClassColumns = {"class", "label", "expression", "emotion", "name"};

struct Columns {
  std::size_t path = 0;
  std::size_t face_class = 1;
  bool header = false;
};

Columns ColumnsOf(std::string_view first_line) {
  const std::vector<std::string> fields = SplitCsv(first_line);
  const auto path = FindColumn(fields, kPathColumns);
  const auto face_class = FindColumn(fields, kClassColumns);
  if (path && face_class) return {*path, *face_class, true};
  return {};
}

Result<std::filesystem::path> FindList(const v1::FerSpec& source, FaceSplit split) {
  const std::filesystem::path root = source.path();
  const bool train = split == FaceSplit::kTrain;
  const std::string& named = train ? source.train() : source.validation();
  std::error_code error;
  if (!named.empty()) {
    if (std::filesystem::exists(root / named, error)) return root / named;
    return Fail(NotFoundError("no such list: path=" + (root / named).string() + "; see data.fer." +
                              (train ? "train" : "validation")));
  }
  using Names = std::vector<std::string_view>;
  for (const std::string_view name :
       train ? Names{"train.csv", "train"} : Names{"val.csv", "validation.csv", "val", "validation", "test"})
    if (std::filesystem::exists(root / name, error)) return root / name;
  FERMENT_ASSIGN_OR_RETURN([[maybe_unused]] const auto listed, io::ListFolder(root));
  return Fail(NotFoundError("no list of " + std::string(train ? "training" : "validation") +
                            " faces: folder=" + root.string() + "; expected " +
                            (train ? "train.csv or train/<class>/" : "val.csv, validation.csv or val/<class>/") +
                            ", or name one in data.fer." + (train ? "train" : "validation")));
}

Status CollectCsv(const std::filesystem::path& root, const std::filesystem::path& list, FaceCollector& faces) {
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(list));
  const std::vector<std::string_view> lines = SplitLines(text);
  if (lines.empty()) return DataLossError("list is empty: file=" + list.string());
  const Columns columns = ColumnsOf(lines[0]);
  for (std::size_t i = columns.header ? 1 : 0; i < lines.size(); ++i) {
    if (Trimmed(lines[i]).empty()) continue;
    const std::vector<std::string> fields = SplitCsv(lines[i]);
    if (fields.size() <= std::max(columns.path, columns.face_class))
      return DataLossError("row has no class: file=" + list.string() + " line=" + std::to_string(i + 1) +
                           " fields=" + std::to_string(fields.size()) + "; expected path,class");
    const std::string path(Trimmed(fields[columns.path]));
    faces.AddText({path, {root / path, root / "images" / path, list.parent_path() / path}, std::nullopt},
                  Trimmed(fields[columns.face_class]));
  }
  return {};
}

Status CollectClassFolders(const std::filesystem::path& root, const std::filesystem::path& folder,
                           FaceCollector& faces) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> classes, io::ListFolder(folder));
  std::error_code error;
  for (const std::string& name : classes) {
    if (!std::filesystem::is_directory(folder / name, error)) continue;
    if (ParseInteger(name))
      return DataLossError("class folder is a number, and sets disagree on numbers: folder=" +
                           (folder / name).string() + "; name it by class, such as Happiness");
    FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> files, io::ListFolder(folder / name));
    for (const std::string& file : files) {
      const std::filesystem::path path = folder / name / file;
      if (!file.starts_with('.'))
        faces.AddText({path.lexically_relative(root).generic_string(), {path}, std::nullopt}, name);
    }
  }
  return {};
}

}  // namespace

std::filesystem::path FolderFacesList(const v1::FerSpec& source, FaceSplit split) {
  return FindList(source, split).value_or(std::filesystem::path());
}

Status CollectFolderFaces(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces) {
  FERMENT_ASSIGN_OR_RETURN(const std::filesystem::path list, FindList(source, split));
  std::error_code error;
  if (std::filesystem::is_directory(list, error)) return CollectClassFolders(source.path(), list, faces);
  return CollectCsv(source.path(), list, faces);
}

}  // namespace ferment::dataset
