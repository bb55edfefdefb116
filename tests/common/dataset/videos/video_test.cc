// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/video.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

using Numbers = std::vector<std::uint32_t>;

class VideoFrames : public ::testing::Test {
 protected:
  /// Reads a folder of these files.
  Video Read(const std::vector<std::string>& files, std::uint64_t others) const {
    for (const std::string& file : files) WriteText(root_ / file, "x");
    Video video;
    EXPECT_EQ(ReadFrames(root_, video), others);
    EXPECT_EQ(video.folder, root_);
    for (const std::uint32_t frame : video.frames_with_image)
      EXPECT_TRUE(std::filesystem::exists(video.FramePath(frame))) << video.FramePath(frame);
    return video;
  }

  std::filesystem::path root_ = FreshFolder("video_frames");
};

TEST_F(VideoFrames, AreNumberedWithAnyWidth) {
  const Video video = Read({"0002.png", "0010.png", "12345.png"}, 0);
  EXPECT_EQ(video.frames_with_image, (Numbers{2, 10, 12345}));
  EXPECT_EQ(video.FramePath(7), root_ / "0007.png");
}

TEST_F(VideoFrames, AreNumberedWithoutZeros) {
  const Video video = Read({"9.JPEG", "10.JPEG", "100.JPEG"}, 0);
  EXPECT_EQ(video.frames_with_image, (Numbers{9, 10, 100}));
  EXPECT_EQ(video.FramePath(11), root_ / "11.JPEG");
}

TEST_F(VideoFrames, AreNamedAsMostOfThemAre) {
  const Video video = Read({"001.jpg", "005.jpg", "1.jpg", "002.png", "3.jpg", "004.jpg", "000.jpg", "x.jpg", "5",
                            "-6.jpg", "4294967297.jpg", std::string(200, '0') + "7.jpg"},
                           9);
  EXPECT_EQ(video.frames_with_image, (Numbers{1, 4, 5}));
}

TEST_F(VideoFrames, AreNotLostForAPictureBesideThem) {
  const Video video = Read({"1.jpg", "00005.jpg", "00006.jpg", "09999.jpg"}, 1);
  EXPECT_EQ(video.frames_with_image, (Numbers{5, 6, 9999}));
}

TEST_F(VideoFrames, MayBeNone) {
  EXPECT_TRUE(Read({"Thumbs.db"}, 1).frames_with_image.empty());
  Video video;
  EXPECT_EQ(ReadFrames(root_ / "none", video), 0U);
  EXPECT_TRUE(video.frames_with_image.empty());
}

}  // namespace
}  // namespace ferment::dataset
