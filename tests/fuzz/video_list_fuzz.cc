// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/dataset/expression.h"
#include "common/dataset/videos/video_list.h"
#include "tests/fuzz/fuzz_file.h"

// Any bytes as a list of videos: labels of the eight classes, each video once, or damage.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const auto videos = dataset::LoadVideoSource("folder", FolderWith("train.csv", data, size),
                                               {dataset::kExpressionNames.begin(), dataset::kExpressionNames.end()});
  if (!videos) {
    FERMENT_CHECK(videos.error().code() == StatusCode::kDataLoss) << videos.error().message();
    return 0;
  }
  std::string before;
  for (const dataset::Video& video : *videos) {
    FERMENT_CHECK(before < video.name) << video.name;
    before = video.name;
    for (const int label : video.labels) FERMENT_CHECK(label >= -1 && label < 8) << label;
  }
  return 0;
}
