// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/video_scan.h"

#include <algorithm>
#include <vector>

#include "common/dataset/expression.h"
#include "common/dataset/videos/video_list.h"

namespace ferment::dataset {
namespace {

Json ScanVideo(const Video& video) {
  std::vector<std::uint64_t> counts(kExpressionNames.size());
  std::uint64_t usable = 0;
  for (const std::uint32_t frame : video.frames_with_image) {
    const int label = video.LabelAt(frame);
    if (label < 0) continue;
    ++usable;
    ++counts[static_cast<std::size_t>(label)];
  }
  const auto minus_one = static_cast<std::uint64_t>(std::count(video.labels.begin(), video.labels.end(), -1));
  const std::uint64_t labelled = video.labels.size() - minus_one;
  return {{"video", video.name},
          {"set", VideoSetName(video.set)},
          {"folder", video.folder.parent_path().filename().string()},
          {"jpgs", video.frames_with_image.size()},
          {"last_jpg", video.frames_with_image.empty() ? 0 : video.frames_with_image.back()},
          {"labels", video.labels.size()},
          {"minus_one", minus_one},
          {"labelled_no_jpg", labelled - usable},
          {"usable", usable},
          {"per_class", ClassCounts(counts)},
          {"oddities", video.oddities}};
}

}  // namespace

Json ClassCounts(const std::vector<std::uint64_t>& counts) {
  Json by_name = Json::object();
  for (std::size_t i = 0; i < counts.size(); ++i) by_name[std::string(kExpressionNames[i])] = counts[i];
  return by_name;
}

Status ScanVideos(std::string_view format, const std::filesystem::path& path, Json& found) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<Video> videos,
                           LoadVideoSource(format, path, {kExpressionNames.begin(), kExpressionNames.end()}));
  Json rows = Json::array();
  Json sets = Json::object();
  for (const Video& video : videos) {
    Json row = ScanVideo(video);
    Json& sum = sets[std::string(VideoSetName(video.set))];
    if (sum.is_null()) sum = {{"videos", 0}, {"per_class", Json::object()}};
    const auto add = [](Json& to, const std::string& name, std::uint64_t count) {
      to[name] = to.value(name, std::uint64_t{0}) + count;
    };
    add(sum, "videos", 1);
    for (const char* column : {"jpgs", "labels", "minus_one", "labelled_no_jpg", "usable"})
      add(sum, column, row[column].get<std::uint64_t>());
    for (const auto& [name, count] : row["per_class"].items()) add(sum["per_class"], name, count.get<std::uint64_t>());
    rows.push_back(std::move(row));
  }
  found["sets"] = std::move(sets);
  found["videos"] = std::move(rows);
  return {};
}

}  // namespace ferment::dataset
