// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/video_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/dataset/data_scan.h"
#include "common/dataset/expression.h"
#include "common/dataset/videos/video_list.h"
#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

using ::testing::HasSubstr;
using Labels = std::vector<std::int8_t>;

const std::vector<std::string> kEight = {kExpressionNames.begin(), kExpressionNames.end()};

class VideoFolder : public ::testing::Test {
 protected:
  void Frames(const std::string& video, const std::vector<std::string>& files) const {
    for (const std::string& file : files) WriteText(root_ / video / file, "x");
  }
  void List(const std::string& name, const std::string& text) const { WriteText(root_ / name, text); }
  std::vector<Video> Load(const std::vector<std::string>& classes = kEight) const {
    auto videos = LoadVideoFolder(root_, classes);
    EXPECT_TRUE(videos.has_value()) << videos.error().ToString();
    return videos ? *std::move(videos) : std::vector<Video>();
  }
  void ExpectBroken(const std::string& text, const std::string& said, const std::string& name = "train.csv") const {
    List(name, text);
    const auto videos = LoadVideoFolder(root_, kEight);
    ASSERT_FALSE(videos) << text;
    EXPECT_EQ(videos.error().code(), StatusCode::kDataLoss);
    EXPECT_THAT(std::string(videos.error().message()), HasSubstr(said));
    EXPECT_THAT(std::string(videos.error().message()), HasSubstr("file=" + (root_ / name).string()));
  }

  std::filesystem::path root_ = FreshFolder("video_folder");
};

TEST_F(VideoFolder, FramesHaveTheClassOfTheirRowAndOthersNone) {
  Frames("v", {"0001.jpg", "0002.jpg", "0004.jpg"});
  List("train.csv", "video,frame,class\nv,4,Happiness\nv,1,anger\r\nv,2,-1\nv,6,\n\nv,5,6\n");
  const std::vector<Video> videos = Load();
  ASSERT_EQ(videos.size(), 1U);
  EXPECT_EQ(videos[0].name, "v");
  EXPECT_EQ(videos[0].set, VideoSet::kTrain);
  EXPECT_EQ(videos[0].labels, (Labels{1, -1, -1, 4}));
  EXPECT_EQ(videos[0].frames_with_image, (std::vector<std::uint32_t>{1, 2, 4}));
  EXPECT_EQ(videos[0].FramePath(4), root_ / "v" / "0004.jpg");
  EXPECT_THAT(videos[0].oddities, ::testing::Contains("2 rows are of frames past the last picture"));
}

TEST_F(VideoFolder, AClipHasItsClassOnEveryFrame) {
  Frames("frames/c1", {"1.png", "3.png"});
  Frames("frames/c2", {"1.png"});
  List("train.csv", "emotion,video\nSad,c1\n");
  List("validation.csv", "label,video\n0,c2\n");
  const std::vector<Video> videos = Load();
  ASSERT_EQ(videos.size(), 2U);
  EXPECT_EQ(videos[0].labels, (Labels{5, 5, 5}));
  EXPECT_EQ(videos[0].folder, root_ / "frames" / "c1");
  EXPECT_EQ(videos[1].labels, (Labels{0}));
  EXPECT_EQ(videos[1].set, VideoSet::kValidation);
}

TEST_F(VideoFolder, ClassesOfTheRunAloneCount) {
  Frames("v", {"1.jpg", "2.jpg", "3.jpg"});
  List("train.csv", "video,frame,class\nv,1,Sadness\nv,2,Fear\nv,3,Neutral\n");
  const std::vector<Video> videos = Load({"Neutral", "Sadness"});
  ASSERT_EQ(videos.size(), 1U);
  EXPECT_EQ(videos[0].labels, (Labels{1, -1, 0}));
  EXPECT_EQ(videos[0].other_class, 1U);
}

TEST_F(VideoFolder, TestVideosAreThoseListedElseThoseInNoList) {
  Frames("a", {"1.jpg"});
  Frames("b", {"1.jpg"});
  Frames("d", {"1.jpg"});
  List("train.csv", "video,class\na,Neutral\n");
  ASSERT_EQ(Load().size(), 3U);
  EXPECT_EQ(Load()[1].name, "b");
  EXPECT_EQ(Load()[1].set, VideoSet::kTest);
  EXPECT_EQ(Load()[2].name, "d");
  List("test.csv", "video\nd\ngone\n");
  const std::vector<Video> videos = Load();
  ASSERT_EQ(videos.size(), 3U);
  EXPECT_EQ(videos[1].name, "d");
  EXPECT_TRUE(videos[1].labels.empty());
  EXPECT_EQ(videos[2].name, "gone");
  EXPECT_THAT(videos[2].oddities, ::testing::Contains(HasSubstr("no folder of frames")));
}

TEST_F(VideoFolder, ABrokenListIsNamedWithItsLine) {
  Frames("v", {"1.jpg"});
  ExpectBroken("", "line=1");
  ExpectBroken("v,1,Neutral\n", "columns video and class");
  ExpectBroken("video,frame\nv,1\n", "columns video and class");
  ExpectBroken("video,frame,class\nv,1\n", "row has 2 fields, expected 3");
  ExpectBroken("video,frame,class\nv,1,Neutral\nv,0,Neutral\n", "frame \"0\"; allowed: 1 .. 1000000");
  ExpectBroken("video,frame,class\nv,1000001,Neutral\n", "line=2");
  ExpectBroken("video,frame,class\nv,x,Neutral\n", "frame \"x\"");
  ExpectBroken("video,frame,class\nv,1,Neutral\nv,1,Neutral\n", "listed twice: video=v frame=1");
  ExpectBroken("video,class\nv,Neutral\nv,Neutral\n", "clip is listed twice");
  ExpectBroken("video,frame,class\nv,1,Bored\n", "\"Bored\" is no class");
  for (const char* name : {"../v", "", "..", "a/b"})
    ExpectBroken(std::string("video,class\n") + name + ",Neutral\n", "is no name of a folder");
  ExpectBroken("video,class\nv,Fr\xF6hlich\n", "row is not UTF-8");
  List("train.csv", "video,class\nv,Neutral\n");
  ExpectBroken("video,class\nv,Neutral\n", "video is in two lists: video=v sets=train,validation", "val.csv");
  std::filesystem::remove(root_ / "val.csv");
  ExpectBroken("name\nv\n", "header does not name the columns video", "test.csv");
}

TEST_F(VideoFolder, ARowFarPastThePicturesCostsNothing) {
  Frames("v", {"1.jpg", "2.jpg"});
  List("train.csv", "video,frame,class\nv,1,Neutral\nv,1000000,Fear\n");
  const std::vector<Video> videos = Load();
  EXPECT_EQ(videos.at(0).labels, (Labels{0}));
  EXPECT_EQ(videos.at(0).LastFrame(), 2U);
}

TEST_F(VideoFolder, AClipOfAnotherClassCountsWithAllItsFrames) {
  Frames("v", {"1.jpg", "2.jpg"});
  List("train.csv", "video,class\nv,Fear\n");
  EXPECT_EQ(Load({"Neutral"}).at(0).other_class, 2U);
}

TEST_F(VideoFolder, TwoListsOfOneSetAreRefused) {
  Frames("v", {"1.jpg"});
  List("val.csv", "video,class\nv,Fear\n");
  List("validation.csv", "video,class\nv,Fear\n");
  const auto videos = LoadVideoFolder(root_, kEight);
  ASSERT_FALSE(videos);
  EXPECT_THAT(std::string(videos.error().message()), HasSubstr("val.csv and validation.csv are both there"));
}

TEST_F(VideoFolder, ANameThatIsNotUtf8IsRefused) {
  Frames("B\xE9", {"1.jpg"});
  List("train.csv", "video,class\n");
  const auto videos = LoadVideoSource("folder", root_, kEight);
  ASSERT_FALSE(videos);
  EXPECT_THAT(std::string(videos.error().message()), HasSubstr("not UTF-8: path=" + root_.string() + " video=B?"));
}

TEST_F(VideoFolder, WithoutListsItSaysWhichAreExpected) {
  Frames("v", {"1.jpg"});
  EXPECT_EQ(LoadVideoFolder(root_, kEight).error().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(LoadVideoFolder(root_, kEight).error().message()), HasSubstr("train.csv"));
  EXPECT_EQ(LoadVideoFolder(root_ / "none", kEight).error().code(), StatusCode::kNotFound);
}

TEST_F(VideoFolder, IsScannedAndToldFromAFolderOfFaces) {
  Frames("v", {"1.jpg", "2.jpg"});
  List("train.csv", "video,class\nv,Fear\n");
  ASSERT_EQ(*GuessFormat(root_), "video-folder");
  const auto found = ScanData(root_, "video-folder");
  ASSERT_TRUE(found) << found.error().ToString();
  EXPECT_EQ(found->at("sets").at("train").at("usable"), 2U);
  EXPECT_EQ(found->at("videos").at(0).at("per_class").at("Fear"), 2U);
  List("train.csv", "path,class\nv/1.jpg,Fear\n");
  EXPECT_EQ(*GuessFormat(root_), "folder");
}

TEST_F(VideoFolder, IsWhatASpecNames) {
  Frames("v", {"1.jpg"});
  List("train.csv", "video,class\nv,Fear\n");
  RunSpec spec;
  for (const std::string& name : kEight) spec.add_classes(name);
  spec.mutable_data()->mutable_videos()->set_path(root_.string());
  EXPECT_FALSE(LoadVideos(spec)) << "Aff-Wild2 without a format";
  spec.mutable_data()->mutable_videos()->set_format("folder");
  const auto videos = LoadVideos(spec);
  ASSERT_TRUE(videos) << videos.error().ToString();
  EXPECT_EQ(videos->at(0).labels, (Labels{3}));
  EXPECT_EQ(LoadVideoSource("avi", root_, kEight).error().exit_code(), exit_code::kBadSpec);
}

}  // namespace
}  // namespace ferment::dataset
