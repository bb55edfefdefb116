// SPDX-License-Identifier: Apache-2.0
#include "labeler/picture_list.h"

#include <gtest/gtest.h>

#include <fstream>

namespace ferment::labeler {
namespace {

class PictureListTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / "picture_list";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void Touch(const std::string& name) const { std::ofstream(folder_ / name) << "x"; }
  PictureGroup Only() const {
    const auto groups = ListPictures({folder_});
    EXPECT_TRUE(groups && groups->size() == 1);
    return groups ? groups->front() : PictureGroup();
  }
  std::filesystem::path folder_;
};

TEST_F(PictureListTest, NumberedPicturesAreAVideoInTheOrderOfTheirNumbers) {
  for (const char* name : {"10.jpg", "00002.JPG", "9.png", ".DS_Store", "notes.txt"}) Touch(name);
  const PictureGroup group = Only();
  EXPECT_EQ(group.frames, (std::vector<std::uint32_t>{2, 9, 10}));
  EXPECT_EQ(group.pictures[0].filename(), "00002.JPG");
  EXPECT_EQ(group.pictures[2].filename(), "10.jpg");
}

TEST_F(PictureListTest, OneNameThatIsNoFrameNumberMakesItAFolderOfPictures) {
  for (const char* other :
       {"face.jpg", "00000.jpg", "1.png", "20240131120000.jpg", "1000001.jpg", "-2.jpg", "2a.jpg"}) {
    Touch("00001.jpg");
    Touch(other);
    const PictureGroup group = Only();
    EXPECT_TRUE(group.frames.empty()) << other;
    EXPECT_EQ(group.pictures.size(), 2U) << other;
    std::filesystem::remove(folder_ / other);
  }
}

TEST_F(PictureListTest, APictureGivenByItselfIsNoVideo) {
  Touch("00001.jpg");
  const auto groups = ListPictures({folder_ / "00001.jpg"});
  ASSERT_TRUE(groups);
  EXPECT_TRUE(groups->front().frames.empty());
}

TEST_F(PictureListTest, NamesWhatIsNotThereAndSaysWhereThereIsNoPicture) {
  const auto absent = ListPictures({folder_ / "nowhere"});
  ASSERT_FALSE(absent);
  EXPECT_EQ(ProcessExitCode(absent.error()), exit_code::kBadData);
  EXPECT_NE(absent.error().message().find("nowhere"), std::string::npos);
  Touch("notes.txt");
  EXPECT_EQ(ProcessExitCode(ListPictures({folder_}).error()), exit_code::kBadData);
}

}  // namespace
}  // namespace ferment::labeler
