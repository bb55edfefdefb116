// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/evaluation/video_evaluation.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "common/dataset/expression.h"
#include "common/dataset/records/open_sources.h"
#include "common/dataset/videos/feature_set.h"
#include "common/io/atomic_file.h"
#include "tests/common/dataset/pack_builder.h"

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

/// Returns: the first column of a CSV, without the header.
std::vector<std::string> PicturesOf(const std::filesystem::path& csv) {
  std::ifstream file(csv);
  std::string line;
  std::getline(file, line);
  std::vector<std::string> pictures;
  while (std::getline(file, line)) pictures.push_back(line.substr(0, line.find(',')));
  return pictures;
}

/// Returns: what the last column of a CSV has, without the header.
std::set<std::string> LastFieldsOf(const std::filesystem::path& csv) {
  std::ifstream file(csv);
  std::string line;
  std::getline(file, line);
  std::set<std::string> fields;
  while (std::getline(file, line)) fields.insert(line.substr(line.rfind(',') + 1));
  return fields;
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

// A test video lacks faces inside and at its end; another has more frames than the challenge asks about. Of the others
// one has pictures that are all damaged, one an empty folder, and one none.
TEST(VideoEvaluation, Check10ASubmissionHasTheRowsOfTheSampleFile) {
  torch::manual_seed(5);
  const auto root = dataset::FreshFolder("submission");
  RunSpec spec;
  for (const std::string_view name : dataset::kExpressionNames) spec.add_classes(std::string(name));
  spec.mutable_data()->mutable_videos()->set_format("affwild2");
  spec.mutable_data()->mutable_videos()->set_path((root / "videos").string());
  spec.mutable_temporal()->set_encoder("none");
  spec.mutable_temporal()->set_d_model(8);
  spec.mutable_temporal()->set_window(4);
  spec.mutable_temporal()->set_hop(2);
  std::filesystem::create_directories(root / "videos/6th ABAW Annotations/EXPR_Recognition_Challenge/Train_Set");
  const RunLayout layout(root / "run");
  const std::string model(64, 'a');
  const auto features = layout.Features(dataset::DatasetName(spec.data().videos().path()), model);
  ASSERT_TRUE(io::CreateFolders(features).ok());

  struct TestVideo {
    std::string name;
    std::vector<std::uint32_t> frames;
    int listed;
    bool damaged = false;
  };
  std::string sample = "image_location,Neutral\n";
  std::vector<std::string> expected;
  const std::vector<TestVideo> videos = {{"gaps", {1, 2, 5, 6}, 9},
                                         {"longer_left", {1, 2, 3, 4, 5}, 3},
                                         {"damaged", {1, 2}, 2, true},
                                         {"empty", {}, 4},
                                         {"nowhere", {}, 3}};
  for (const TestVideo& video : videos) {
    const auto picture = [&](std::uint32_t number) {
      std::array<char, 16> name{};
      std::snprintf(name.data(), name.size(), "/%05u.jpg", number);
      return video.name + name.data();
    };
    if (video.name != "nowhere") std::filesystem::create_directories(root / "videos/cropped_aligned" / video.name);
    for (const std::uint32_t frame : video.frames)
      dataset::WriteText(root / "videos/cropped_aligned" / picture(frame), "x");
    for (int row = 1; row <= video.listed; ++row) {
      expected.push_back(picture(static_cast<std::uint32_t>(row)));
      sample += expected.back() + ",\n";
    }
    if (video.frames.empty()) continue;
    const std::size_t frames = video.damaged ? 0 : video.frames.size();
    const dataset::FeatureSet set{"videos",
                                  video.name,
                                  model,
                                  {spec.classes().begin(), spec.classes().end()},
                                  {video.frames.begin(), video.frames.begin() + static_cast<std::ptrdiff_t>(frames)},
                                  std::vector<float>(frames * kSize, 0.5F),
                                  std::vector<float>(frames * 8)};
    ASSERT_TRUE(io::WriteFileAtomically(features / (video.name + ".npz"), dataset::FeatureSetBytes(set)).ok());
  }
  dataset::WriteText(root / "videos/EXPR_test_set_sample.txt", sample);

  const auto clips = LoadClips(spec, layout, model);
  ASSERT_TRUE(clips) << clips.error().ToString();
  const auto encoder = nn::MakeTemporalEncoder(nn::MakeTemporalConfig(spec, "none", kSize), 1, 0);
  for (const std::uint32_t half_width : {0U, 25U}) {
    spec.mutable_smoothing()->set_half_width(half_width);
    VideoEvaluation evaluation(spec);
    evaluation.Run({"student", "none"}, *encoder, *clips);
    ASSERT_TRUE(io::CreateFolders(layout.Submission()).ok());
    ASSERT_TRUE(evaluation.WriteSubmission(layout.Submission()).ok());
    std::vector<std::string> rows;
    for (const TestVideo& video : videos) {
      const auto of = PicturesOf(layout.Submission() / (video.name + ".txt"));
      rows.insert(rows.end(), of.begin(), of.end());
      if (video.damaged || video.frames.empty()) {
        EXPECT_EQ(LastFieldsOf(layout.Submission() / (video.name + ".txt")), std::set<std::string>{"0"}) << video.name;
      }
    }
    EXPECT_EQ(rows, expected) << "half width " << half_width;
  }
}

}  // namespace
}  // namespace ferment::worker
