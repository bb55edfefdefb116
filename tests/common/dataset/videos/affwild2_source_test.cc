// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/affwild2_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "common/dataset/data_scan.h"
#include "common/dataset/expression.h"
#include "common/dataset/text_lines.h"
#include "common/dataset/videos/video_list.h"
#include "common/io/local_file_system.h"
#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

constexpr char kHeader[] = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other";
const std::vector<std::string> kEight = {kExpressionNames.begin(), kExpressionNames.end()};

/// A tree with the folders of the sixth challenge.
class AffWild2Source : public ::testing::Test {
 protected:
  void Frames(const std::string& batch, const std::string& video, const std::vector<int>& numbers) {
    std::filesystem::create_directories(root_ / batch / video);
    for (const int number : numbers) {
      char name[16] = {};
      std::snprintf(name, sizeof(name), "%05d.jpg", number);
      WriteText(root_ / batch / video / name, "x");
    }
  }
  void Labels(const std::string& set, const std::string& video, const std::string& text) {
    WriteText(root_ / "6th ABAW Annotations" / "EXPR_Recognition_Challenge" / set / (video + ".txt"), text);
  }
  Video Only(const std::string& name, const std::vector<std::string>& classes = kEight) {
    const auto videos = LoadAffWild2(root_, classes);
    EXPECT_TRUE(videos.has_value()) << videos.error().ToString();
    for (const Video& video : videos.value_or(std::vector<Video>()))
      if (video.name == name) return video;
    ADD_FAILURE() << "no video " << name;
    return {};
  }

  std::filesystem::path root_ = FreshFolder("affwild2");
};

TEST_F(AffWild2Source, Check8LineKBelongsToFrameKAlsoWithoutAPicture) {
  Frames("cropped_aligned", "v", {1, 3, 4});
  Labels("Train_Set", "v", std::string(kHeader) + "\n0\n1\n-1\n4\n");
  const Video video = Only("v");
  EXPECT_EQ(video.frames_with_image, (std::vector<std::uint32_t>{1, 3, 4}));
  EXPECT_EQ(video.labels, (std::vector<std::int8_t>{0, 1, -1, 4}));
  EXPECT_EQ(video.LabelAt(4), 4);
  EXPECT_EQ(video.LabelAt(5), -1);
  EXPECT_EQ(video.FramePath(3), root_ / "cropped_aligned" / "v" / "00003.jpg");
}

TEST_F(AffWild2Source, Check8RunsOfMinusOneKeepTheirLinesAtBothEndsAndInside) {
  Frames("cropped_aligned", "v", {1, 2, 3, 4, 5, 6, 7, 8});
  Frames("cropped_aligned", "none", {1, 2, 3});
  Labels("Train_Set", "v", std::string(kHeader) + "\n-1\n-1\n3\n-1\n-1\n6\n-1\n-1\n");
  Labels("Train_Set", "none", std::string(kHeader) + "\n-1\n-1\n-1\n");
  EXPECT_EQ(Only("v").labels, (std::vector<std::int8_t>{-1, -1, 3, -1, -1, 6, -1, -1}));
  EXPECT_EQ(Only("v").LabelAt(6), 6);
  EXPECT_TRUE(Only("v").oddities.empty());
  EXPECT_EQ(Only("none").labels, (std::vector<std::int8_t>{-1, -1, -1}));
}

TEST_F(AffWild2Source, Check8HeaderOnlyCrlfAndMissingFinalNewline) {
  Frames("cropped_aligned", "header", {1});
  Frames("cropped_aligned", "crlf", {1, 2});
  Labels("Train_Set", "header", std::string(kHeader) + "\n");
  Labels("Train_Set", "crlf", std::string(kHeader) + "\r\n5\r\n6");
  EXPECT_TRUE(Only("header").labels.empty());
  EXPECT_EQ(Only("crlf").labels, (std::vector<std::int8_t>{5, 6}));
}

TEST_F(AffWild2Source, Check8LabelsLongerAndShorterThanFrames) {
  Frames("cropped_aligned", "longer", {1, 2});
  Frames("cropped_aligned", "shorter", {1, 2, 3});
  Labels("Train_Set", "longer", std::string(kHeader) + "\n0\n0\n0\n0\n");
  Labels("Validation_Set", "shorter", std::string(kHeader) + "\n0\n");
  EXPECT_EQ(Only("longer").LastFrame(), 4U);
  EXPECT_EQ(Only("shorter").LabelAt(3), -1);
  EXPECT_EQ(Only("shorter").set, VideoSet::kValidation);
  EXPECT_EQ(Only("longer").oddities.size(), 1U);
}

TEST_F(AffWild2Source, Check8LeftAndRightAreVideosOfTheirOwn) {
  Frames("cropped_aligned", "6-30_left", {1});
  Frames("cropped_aligned", "6-30_right", {2});
  Labels("Train_Set", "6-30_left", std::string(kHeader) + "\n1\n1\n");
  Labels("Train_Set", "6-30_right", std::string(kHeader) + "\n2\n2\n");
  EXPECT_EQ(Only("6-30_left").frames_with_image, std::vector<std::uint32_t>{1});
  EXPECT_EQ(Only("6-30_right").LabelAt(2), 2);
}

TEST_F(AffWild2Source, BothBatchFoldersAreMergedAndUnannotatedFoldersAreTestVideos) {
  Frames("cropped_aligned", "a", {1});
  Frames("cropped_aligned_new_50_vids", "b", {1, 2});
  Frames("cropped_aligned_new_50_vids", "test", {2});
  Labels("Train_Set", "b", std::string(kHeader) + "\n0\n0\n");
  Labels("Train_Set", "a", std::string(kHeader) + "\n0\n");
  Labels("Validation_Set", "none", std::string(kHeader) + "\n0\n");
  WriteText(root_ / "EXPR_test_set_sample.txt",
            "image_location,Neutral\ntest/00001.jpg,\ntest/00002.jpg,\ntest/00003.jpg,\n");
  EXPECT_EQ(Only("b").folder, root_ / "cropped_aligned_new_50_vids" / "b");
  EXPECT_TRUE(Only("none").folder.empty());
  EXPECT_EQ(Only("test").set, VideoSet::kTest);
  EXPECT_EQ(Only("test").LastFrame(), 3U);
}

TEST_F(AffWild2Source, AVideoThatTheSampleFileAloneNamesIsATestVideo) {
  Frames("cropped_aligned", "a", {1});
  Labels("Train_Set", "a", std::string(kHeader) + "\n0\n");
  WriteText(root_ / "EXPR_test_set_videos.txt", "a\n");
  WriteText(root_ / "EXPR_test_set_sample.txt",
            "image_location,Neutral\na/00001.jpg,\nb/00001.jpg,\nb/00002.jpg,\n/00001.jpg,\n");
  EXPECT_EQ(LoadAffWild2(root_, kEight)->size(), 2U);
  EXPECT_EQ(Only("a").set, VideoSet::kTrain);
  EXPECT_EQ(Only("b").set, VideoSet::kTest);
  EXPECT_EQ(Only("b").listed_frames, 2U);
  EXPECT_EQ(Only("b").oddities.size(), 1U);
}

TEST_F(AffWild2Source, ClassesOutsideTheRunCountAsNotAnnotated) {
  Frames("cropped_aligned", "v", {1, 2});
  Labels("Train_Set", "v", std::string(kHeader) + "\n4\n7\n");
  EXPECT_EQ(Only("v", {"Happiness", "Neutral"}).labels, (std::vector<std::int8_t>{0, -1}));
}

TEST_F(AffWild2Source, AnotherClassOrderIsRefusedWithTheFile) {
  Frames("cropped_aligned", "v", {1});
  Labels("Train_Set", "v", "Neutral,Disgust,Anger,Fear,Happiness,Sadness,Surprise,Other\n0\n");
  const auto videos = LoadAffWild2(root_, kEight);
  ASSERT_FALSE(videos.has_value());
  EXPECT_EQ(ProcessExitCode(videos.error()), exit_code::kBadData);
  EXPECT_NE(videos.error().message().find("v.txt"), std::string_view::npos);
}

TEST_F(AffWild2Source, MissingFoldersAreExitCode65) {
  EXPECT_EQ(ProcessExitCode(LoadAffWild2(root_ / "none", kEight).error()), exit_code::kBadData);
  EXPECT_EQ(ProcessExitCode(LoadAffWild2(root_, kEight).error()), exit_code::kBadData);
}

TEST_F(AffWild2Source, LinesOfOtherClassesThanTheRunsAreCountedInTheLog) {
  Frames("cropped_aligned", "v", {1, 2, 3, 4});
  Labels("Train_Set", "v", std::string(kHeader) + "\n0\n3\n-1\n3\n");
  RunSpec spec;
  spec.add_classes("Neutral");
  spec.add_classes("Anger");
  spec.mutable_data()->mutable_videos()->set_path(root_.string());
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(LoadVideos(spec));
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("frames.left_out"), std::string::npos) << log;
  EXPECT_NE(log.find("label_lines=4 left_out=2"), std::string::npos) << log;
}

TEST_F(AffWild2Source, ASpecWithoutVideosHasNoneAndAnotherFormatIsExitCode64) {
  RunSpec spec;
  EXPECT_TRUE(LoadVideos(spec)->empty());
  spec.mutable_data()->mutable_videos()->set_path(root_.string());
  spec.mutable_data()->mutable_videos()->set_format("avi");
  EXPECT_EQ(ProcessExitCode(LoadVideos(spec).error()), exit_code::kBadSpec);
}

/// Words of the note that each oddity of expected.csv must show; the others are no oddity to a reader.
const std::map<std::string, std::string> kNotes = {{"gaps", "frames without a picture"},
                                                   {"left", "25 frames without a picture"},
                                                   {"right", "20 frames without a picture"},
                                                   {"annotation-longer", "8 label lines past the last picture"},
                                                   {"annotation-shorter", "12 frames past the last label line"},
                                                   {"header-only", "header line only"},
                                                   {"no-frames", "no folder of frames"}};

TEST(DataScan, Check8FindsInTheSharedVideosWhatExpectedCsvLists) {
  const auto root = RealFaces().parent_path() / "aff-wild2-mini";
  if (RealFaces().empty() || !std::filesystem::exists(root))
    GTEST_SKIP() << "no aff-wild2-mini beside FERMENT_REAL_FACES";
  const auto found = ScanData(root, *GuessFormat(root));
  ASSERT_TRUE(found.has_value()) << found.error().ToString();
  std::map<std::string, Json> rows;
  for (const Json& row : (*found)["videos"]) rows[row["video"].get<std::string>()] = row;
  const auto text = io::ReadTextFile(root / "expected.csv");
  const auto lines = SplitLines(*text);
  const auto columns = SplitCsv(lines[0]);
  EXPECT_EQ(rows.size() + 1, lines.size());
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto fields = SplitCsv(lines[i]);
    const Json& row = rows[fields[0]];
    EXPECT_EQ(row["set"], fields[1] == "val" ? "validation" : fields[1]) << fields[0];
    const auto note = kNotes.find(fields[17]);
    if (note != kNotes.end()) {
      EXPECT_NE(row["oddities"].dump().find(note->second), std::string::npos) << fields[0];
    } else if (fields[0] != "video33_left") {
      EXPECT_EQ(row["oddities"].size(), 0U) << fields[0];
    }
    for (std::size_t c = 2; c < 9; ++c)
      EXPECT_EQ(row[columns[c]].is_string() ? row[columns[c]].get<std::string>() : row[columns[c]].dump(), fields[c])
          << fields[0] << columns[c];
    for (std::size_t c = 9; c < 17; ++c)
      EXPECT_EQ(row["per_class"][std::string(kExpressionNames[c - 9])].dump(), fields[c]) << fields[0] << columns[c];
  }
}

}  // namespace
}  // namespace ferment::dataset
