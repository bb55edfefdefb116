// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/evaluation/video_evaluation.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

namespace ferment::worker {
namespace {

constexpr std::size_t kSize = 6;

Clip ClipOf(const std::string& video, dataset::VideoSet set, std::size_t frames) {
  Clip clip{video, set, {}, std::vector<int>(frames, 0)};
  clip.frames.features = torch::randn({static_cast<std::int64_t>(frames), kSize});
  clip.frames.present.assign(frames, true);
  return clip;
}

/// Returns: flips and pairs by the last column of the CSV.
double FlipsOf(const std::filesystem::path& csv) {
  std::ifstream file(csv);
  std::string line;
  std::getline(file, line);
  std::map<std::string, std::vector<std::string>> predictions;
  while (std::getline(file, line)) predictions[line.substr(0, line.find(','))].push_back(line.substr(line.rfind(',')));
  double pairs = 0;
  double flips = 0;
  for (const auto& [video, of] : predictions) {
    for (std::size_t i = 1; i < of.size(); ++i, ++pairs) flips += of[i] != of[i - 1] ? 1 : 0;
  }
  return flips / pairs;
}

TEST(VideoEvaluation, FlipsAreThoseOfTheFullSystemBetweenFramesOfOneValidationVideo) {
  torch::manual_seed(5);
  RunSpec spec;
  for (const char* name : {"a", "b", "c", "d"}) spec.add_classes(name);
  spec.mutable_temporal()->set_encoder("none");
  spec.mutable_temporal()->set_d_model(8);
  spec.mutable_temporal()->set_window(8);
  spec.mutable_temporal()->set_hop(4);
  const std::vector<Clip> clips = {
      ClipOf("one", dataset::VideoSet::kValidation, 40), ClipOf("single", dataset::VideoSet::kValidation, 1),
      ClipOf("two", dataset::VideoSet::kValidation, 25), ClipOf("other", dataset::VideoSet::kTest, 30)};
  const auto encoder = nn::MakeTemporalEncoder(nn::MakeTemporalConfig(spec, "none", kSize), 1, 0);
  const auto csv = std::filesystem::path(::testing::TempDir()) / "flips.csv";
  std::map<std::uint32_t, double> ratios;
  for (const std::uint32_t half_width : {0U, 4U}) {
    spec.mutable_smoothing()->set_half_width(half_width);
    VideoEvaluation videos(spec);
    videos.Run({"student", "none"}, *encoder, clips);
    ASSERT_TRUE(videos.WriteCsv(csv).ok());
    EXPECT_DOUBLE_EQ(videos.FlipRatio(), FlipsOf(csv));
    ratios[half_width] = videos.FlipRatio();
  }
  EXPECT_GT(ratios[0], 0.3) << "noise";
  EXPECT_LT(ratios[4], ratios[0]) << "what smoothing is for";
}

}  // namespace
}  // namespace ferment::worker
