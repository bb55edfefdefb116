// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "common/dataset/labels/label_set.h"
#include "common/dataset/videos/feature_set.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

class GoldenLabels : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path File(const char* name) const {
    return std::filesystem::path(FERMENT_FIXTURES) / "golden" / GetParam() / name;
  }
};

TEST_P(GoldenLabels, ALabelSetOfAFormerVersionIsReadAsItWasMeantAndWrittenAsItWas) {
  const auto file = io::ReadFile(File("labels.npz"));
  ASSERT_TRUE(file) << file.error().ToString();
  const auto labels = ParseLabelSet(*file);
  ASSERT_TRUE(labels) << labels.error().ToString();
  EXPECT_EQ(labels->origin, (LabelOrigin{"faces", std::string(64, 'a'), std::string(64, 'b')}));
  EXPECT_EQ(labels->shard, 3U);
  EXPECT_EQ(labels->classes, (std::vector<std::string>{"Anger", "Happiness"}));
  EXPECT_EQ(labels->key, (std::vector<std::uint64_t>{5, 9, 1'000'000'000'007}));
  EXPECT_EQ(labels->label, (std::vector<std::uint8_t>{1, 0, kNoLabel}));
  EXPECT_EQ(labels->confidence_half, (std::vector<std::uint16_t>{0x3B00, 0x3900, 0}));
  EXPECT_EQ(labels->probabilities_half, (std::vector<std::uint16_t>{0x3000, 0x3B00, 0x3900, 0x3600, 0, 0}));
  EXPECT_EQ(labels->status, (std::vector{LabelStatus::kLabelled, LabelStatus::kAbstained, LabelStatus::kQuarantined}));
  EXPECT_EQ(labels->reasons, (std::map<std::string, std::uint64_t>{{"jpeg-truncated", 1}}));
  const auto bytes = LabelSetBytes(*labels);
  ASSERT_TRUE(bytes);
  EXPECT_TRUE(std::ranges::equal(*bytes, *file)) << "a digest of before stands for the same labels";
}

TEST_P(GoldenLabels, FeaturesOfAFormerVersionAreReadAsTheyWereMeant) {
  const auto set = ReadFeatureSet(File("features.npz"));
  ASSERT_TRUE(set) << set.error().ToString();
  EXPECT_EQ(set->dataset, "abaw");
  EXPECT_EQ(set->video, "video-1");
  EXPECT_EQ(set->model, std::string(64, 'c'));
  EXPECT_EQ(set->classes, (std::vector<std::string>{"Anger", "Happiness"}));
  EXPECT_EQ(set->frame, (std::vector<std::uint32_t>{1, 2, 5}));
  EXPECT_EQ(set->features, (std::vector<float>{0.5F, -1, 2, 3, 4, 5}));
  EXPECT_EQ(set->logits, (std::vector<float>{1, 0, 0.25F, -0.25F, 8, 9}));
}

INSTANTIATE_TEST_SUITE_P(Versions, GoldenLabels, ::testing::Values("2026-11-25", "2026-11-27"),
                         [](const auto& version) { return "V" + std::to_string(version.index); });

}  // namespace
}  // namespace ferment::dataset
