// SPDX-License-Identifier: Apache-2.0
#include "labeler/picture_list.h"

#include <algorithm>
#include <map>
#include <string>
#include <system_error>
#include <utility>

#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/videos/video.h"

namespace ferment::labeler {
namespace {

void NumberFrames(PictureGroup& group) {
  std::map<std::uint32_t, std::filesystem::path> by_number;
  for (const auto& picture : group.pictures) {
    const auto number = dataset::FrameNumber(picture);
    if (!number || !by_number.emplace(*number, picture).second) return;
  }
  group.pictures.clear();
  for (auto& [number, picture] : by_number) {
    group.frames.push_back(number);
    group.pictures.push_back(std::move(picture));
  }
}

Result<PictureGroup> ListFolder(const std::filesystem::path& folder) {
  PictureGroup group{folder, {}, {}};
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (dataset::HasPictureName(entry->path())) group.pictures.push_back(entry->path());
  }
  if (error) return Fail(NotFoundError("cannot list a folder: path=" + folder.string() + ": " + error.message()));
  std::sort(group.pictures.begin(), group.pictures.end());
  NumberFrames(group);
  return group;
}

}  // namespace

Result<std::vector<PictureGroup>> ListPictures(const std::vector<std::filesystem::path>& paths) {
  std::vector<PictureGroup> groups;
  for (const auto& path : paths) {
    std::error_code error;
    if (!std::filesystem::exists(path, error))
      return Fail(NotFoundError("no such file or folder: path=" + path.string()));
    if (!std::filesystem::is_directory(path, error)) {
      groups.push_back({path, {path}, {}});
      continue;
    }
    FERMENT_ASSIGN_OR_RETURN(PictureGroup group, ListFolder(path));
    if (!group.pictures.empty()) groups.push_back(std::move(group));
  }
  if (groups.empty())
    return Fail(
        NotFoundError("no pictures (.jpg, .jpeg, .png) in the folders given; folders are not searched "
                      "further down: path=" +
                      (paths.empty() ? std::string() : paths.front().string())));
  return groups;
}

}  // namespace ferment::labeler
