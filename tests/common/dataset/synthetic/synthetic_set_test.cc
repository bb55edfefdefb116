// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/synthetic/synthetic_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "common/dataset/expression.h"
#include "common/dataset/faces/face_list.h"
#include "common/dataset/labels/pseudo_label_quality.h"
#include "common/dataset/pictures/jpeg_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/dataset/synthetic/synthetic_videos.h"
#include "common/dataset/videos/video_list.h"
#include "common/io/checksum.h"

namespace ferment::dataset {
namespace {

RunSpec SmallSpec(std::uint64_t seed) {
  RunSpec spec;
  spec.set_seed(seed);
  for (const std::string_view name : kExpressionNames) spec.add_classes(std::string(name));
  v1::SyntheticSpec& sizes = *spec.mutable_data()->mutable_synthetic();
  sizes.set_faces_train(24);
  sizes.set_faces_validation(16);
  sizes.set_fr_records(30);
  sizes.set_identities(6);
  sizes.set_videos_train(2);
  sizes.set_videos_validation(1);
  sizes.set_videos_test(1);
  sizes.set_frames(40);
  sizes.set_image_size(32);
  return spec;
}

std::filesystem::path FreshFolder(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("synthetic_" + name);
  std::filesystem::remove_all(folder);
  return folder;
}

std::map<std::string, std::string> DigestsUnder(const std::filesystem::path& folder) {
  std::map<std::string, std::string> digests;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      digests[std::filesystem::relative(entry.path(), folder).string()] = *io::Sha256OfFile(entry.path());
  return digests;
}

TEST(SyntheticSet, IsReadByTheReadersOfRealData) {
  RunSpec spec = SmallSpec(1);
  const auto out = FreshFolder("read");
  ASSERT_TRUE(WantsSyntheticSets(spec));
  ASSERT_TRUE(RenderSyntheticSets(spec, out).ok());
  UseSyntheticSets(spec, out);
  EXPECT_FALSE(WantsSyntheticSets(spec));

  for (const auto& [split, count] : {std::pair{FaceSplit::kTrain, 24u}, std::pair{FaceSplit::kValidation, 16u}}) {
    const auto faces = LoadFaces(spec, split);
    ASSERT_TRUE(faces) << faces.error().ToString();
    EXPECT_EQ(faces->faces.size(), count);
    for (const std::uint64_t of_class : faces->per_class) EXPECT_GT(of_class, 0u);
    const auto picture = ReadFace(faces->faces.front());
    ASSERT_TRUE(picture);
    EXPECT_EQ(picture->width, 32);
  }
  const auto fr = OpenFr(spec);
  ASSERT_TRUE(fr) << fr.error().ToString();
  ASSERT_EQ((*fr)->size(), 30u);
  for (std::uint64_t i = 0; i < 30; ++i) {
    EXPECT_EQ((*fr)->KeyAt(i), i + 1);
    const auto record = (*fr)->Read(i);
    ASSERT_TRUE(record) << record.error().ToString();
    EXPECT_TRUE(DecodeJpeg(record->image));
  }
  EXPECT_EQ(ReadLabelTruth(spec.labeling().truth(), 8)->size(), 30u);
  const auto videos = LoadVideos(spec);
  ASSERT_TRUE(videos) << videos.error().ToString();
  EXPECT_EQ(videos->size(), 4u);
  for (const Video& video : *videos) EXPECT_FALSE(video.frames_with_image.empty()) << video.name;
}

TEST(SyntheticSet, IsTheSameForTheSameSeedAndAnotherForAnother) {
  const auto first = FreshFolder("first");
  const auto again = FreshFolder("again");
  const auto other = FreshFolder("other");
  ASSERT_TRUE(RenderSyntheticSets(SmallSpec(1), first).ok());
  ASSERT_TRUE(RenderSyntheticSets(SmallSpec(1), again).ok());
  ASSERT_TRUE(RenderSyntheticSets(SmallSpec(2), other).ok());
  EXPECT_EQ(DigestsUnder(first), DigestsUnder(again));
  EXPECT_NE(DigestsUnder(first).at("fr/train.rec"), DigestsUnder(other).at("fr/train.rec"));
}

TEST(SyntheticSet, IsNotRenderedTwiceAndFinishedWhenTorn) {
  const auto out = FreshFolder("torn");
  ASSERT_TRUE(RenderSyntheticSets(SmallSpec(1), out).ok());
  const auto before = DigestsUnder(out);
  std::ofstream(out / "fr" / "property") << "touched";
  ASSERT_TRUE(RenderSyntheticSets(SmallSpec(1), out).ok());
  EXPECT_NE(DigestsUnder(out), before) << "a finished set is left alone";
  std::filesystem::remove(out / "manifest.json");
  ASSERT_TRUE(RenderSyntheticSets(SmallSpec(1), out).ok());
  EXPECT_EQ(DigestsUnder(out), before) << "an unfinished one is rendered anew";
}

TEST(SyntheticSet, RefusesSizesOutOfRange) {
  RunSpec spec = SmallSpec(1);
  spec.mutable_data()->mutable_synthetic()->set_image_size(8);
  EXPECT_EQ(ProcessExitCode(RenderSyntheticSets(spec, FreshFolder("range"))), exit_code::kBadSpec);
}

TEST(SyntheticVideos, AreAsSkewedAsTheRealOnes) {
  std::array<int, 8> frames{};
  int gaps = 0, unlabelled = 0;
  for (const SyntheticVideo& video : ScriptVideos(1, VideoSplit::kTrain, 64, 320))
    for (const SyntheticFrame& frame : video.frames) {
      ++frames[static_cast<std::size_t>(frame.truth)];
      gaps += !frame.has_image;
      unlabelled += frame.label == -1;
    }
  const double ratio = static_cast<double>(frames[0]) / *std::min_element(frames.begin(), frames.end());
  EXPECT_GT(ratio, 12);
  EXPECT_LT(ratio, 30);
  EXPECT_GT(gaps, 0);
  EXPECT_GT(unlabelled, 0);
}

/// What docs/spec.md says of data.synthetic.frames; what is rendered must stay as it is.
TEST(SyntheticVideos, GoOnToTheEndOfAnExpressionPastTheFramesAskedFor) {
  for (const std::uint32_t asked : {16u, 160u, 480u}) {
    const auto videos = ScriptVideos(1, VideoSplit::kTrain, 64, asked);
    std::size_t frames = 0;
    for (const SyntheticVideo& video : videos) {
      EXPECT_GE(video.frames.size(), 45u) << asked;
      frames += video.frames.size();
    }
    const double more = static_cast<double>(frames) / static_cast<double>(videos.size()) - asked;
    EXPECT_GT(more, 30) << asked;
    EXPECT_LT(more, 90) << asked;
  }
}

TEST(SyntheticVideos, HoldEveryClassInAFewVideos) {
  std::set<int> classes;
  for (const SyntheticVideo& video : ScriptVideos(3, VideoSplit::kValidation, 8, 320))
    for (const SyntheticFrame& frame : video.frames) classes.insert(frame.truth);
  EXPECT_EQ(classes.size(), 8u);
}

}  // namespace
}  // namespace ferment::dataset
