// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/video_list.h"

#include "common/base/logging.h"
#include "common/config/spec_value.h"
#include "common/dataset/videos/affwild2_source.h"
#include "common/dataset/videos/video_folder.h"
#include "common/io/shown_name.h"

namespace ferment::dataset {

Result<std::vector<Video>> LoadVideoSource(std::string_view format, const std::filesystem::path& path,
                                           const std::vector<std::string>& classes) {
  if (format != "affwild2" && format != "folder")
    return Fail(InvalidArgumentError("unknown data.videos.format: " + std::string(format) + "; one of affwild2, folder")
                    .WithExitCode(exit_code::kBadSpec));
  FERMENT_ASSIGN_OR_RETURN(auto videos,
                           format == "folder" ? LoadVideoFolder(path, classes) : LoadAffWild2(path, classes));
  // Names travel in messages and JSON, which hold nothing else.
  for (const Video& video : videos) {
    if (!IsUtf8(video.name))
      return Fail(
          DataLossError("a video's name is not UTF-8: path=" + path.string() + " video=" + io::ShownName(video.name)));
  }
  return videos;
}

Result<std::vector<Video>> LoadVideos(const RunSpec& spec) {
  const v1::VideosSpec& videos = spec.data().videos();
  if (videos.path().empty()) return std::vector<Video>();
  FERMENT_ASSIGN_OR_RETURN(auto found, LoadVideoSource(videos.format().empty() ? "affwild2" : videos.format(),
                                                       videos.path(), {spec.classes().begin(), spec.classes().end()}));
  std::uint64_t labels = 0;
  std::uint64_t other_class = 0;
  for (const Video& video : found) {
    labels += video.labels.size();
    other_class += video.other_class;
  }
  if (other_class > 0)
    LogInfo("frames.left_out", {{"source", videos.path()},
                                {"label_lines", labels},
                                {"left_out", other_class},
                                {"why", "of classes that the run does not have"}});
  return found;
}

}  // namespace ferment::dataset
