// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/canary_faces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "tests/support/rendered_spec.h"

namespace ferment::dataset {
namespace {

class CanaryFacesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto spec = testing::RenderedSpec(std::filesystem::path(::testing::TempDir()) / "canary_faces");
    ASSERT_TRUE(spec) << spec.error().message();
    spec_ = *spec;
  }
  static RunSpec spec_;
};
RunSpec CanaryFacesTest::spec_;

std::vector<std::string> FilesOf(const std::vector<LabelledFace>& faces) {
  std::vector<std::string> files;
  for (const LabelledFace& face : faces) files.push_back(face.file.string());
  return files;
}

TEST_F(CanaryFacesTest, ADrawFollowsFromSeedTeacherAndShardAlone) {
  const auto faces = CanaryFaces::Open(spec_);
  const auto again = CanaryFaces::Open(spec_);
  ASSERT_TRUE(faces && again);
  const auto drawn = FilesOf(faces->Draw(1, "teacher", 5, 40));
  EXPECT_EQ(FilesOf(again->Draw(1, "teacher", 5, 40)), drawn);
  EXPECT_NE(FilesOf(faces->Draw(2, "teacher", 5, 40)), drawn);
  EXPECT_NE(FilesOf(faces->Draw(1, "other", 5, 40)), drawn);
  EXPECT_NE(FilesOf(faces->Draw(1, "teacher", 6, 40)), drawn);
}

TEST_F(CanaryFacesTest, EveryClassComesAboutEquallyOftenHoweverManyFacesItHas) {
  const auto list = LoadFaces(spec_, FaceSplit::kValidation);
  const auto faces = CanaryFaces::Open(spec_);
  ASSERT_TRUE(list && faces);
  std::set<std::string> held_out;
  std::set<int> classes;
  for (const LabelledFace& face : list->faces) {
    held_out.insert(face.file.string());
    classes.insert(face.label);
  }
  std::map<int, int> drawn;
  for (std::uint64_t shard = 0; shard < 40; ++shard) {
    for (const LabelledFace& face : faces->Draw(1, "teacher", shard, 100)) {
      EXPECT_TRUE(held_out.contains(face.file.string()));
      ++drawn[face.label];
    }
  }
  EXPECT_EQ(drawn.size(), classes.size());
  const double even = 4000.0 / static_cast<double>(classes.size());
  for (const auto& [label, count] : drawn) EXPECT_NEAR(count, even, 5 * std::sqrt(even)) << label;
}

TEST_F(CanaryFacesTest, CountsRoundUp) {
  RunSpec spec;
  spec.mutable_labeling()->set_canary_share(0.005);
  EXPECT_EQ(CanaryCount(spec, 4096), 21U);
  EXPECT_EQ(CanaryCount(spec, 200), 1U);
  EXPECT_EQ(CanaryCount(spec, 1000), 5U) << "0.005 is no double";
  spec.mutable_labeling()->set_canary_share(0);
  EXPECT_EQ(CanaryCount(spec, 4096), 0U);
}

TEST_F(CanaryFacesTest, SaysWhatToDoWhereThereIsNoValidationList) {
  RunSpec spec = spec_;
  spec.mutable_data()->mutable_fer(0)->set_validation("missing.csv");
  const auto faces = CanaryFaces::Open(spec);
  ASSERT_FALSE(faces);
  EXPECT_EQ(ProcessExitCode(faces.error()), exit_code::kBadData);
  EXPECT_THAT(std::string(faces.error().message()), ::testing::HasSubstr("labeling.canary_share"));
  EXPECT_THAT(std::string(faces.error().message()), ::testing::HasSubstr("missing.csv"));
}

}  // namespace
}  // namespace ferment::dataset
