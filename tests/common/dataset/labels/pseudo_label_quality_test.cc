// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/pseudo_label_quality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "common/io/formats/half_float.h"

namespace ferment::dataset {
namespace {

using testing::HasSubstr;

LabelSet FiveRecords() {
  LabelSet labels;
  labels.classes = {"Neutral", "Anger"};
  labels.key = {1, 2, 3, 4, 5};
  labels.label = {0, 0, 1, 1, kNoLabel};
  labels.status = {LabelStatus::kLabelled, LabelStatus::kLabelled, LabelStatus::kLabelled, LabelStatus::kAbstained,
                   LabelStatus::kQuarantined};
  for (const float confidence : {0.9F, 0.9F, 1.0F, 0.55F, 0.0F})
    labels.confidence_half.push_back(io::HalfFromFloat(confidence));
  labels.probabilities_half.assign(10, 0);
  labels.reasons = {{"not-a-jpeg", 1}};
  return labels;
}

std::filesystem::path WriteTruth(const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / "truth.csv";
  std::ofstream(path) << text;
  return path;
}

TEST(PseudoLabelQuality, CountsWhatIsRight) {
  const std::vector<LabelSet> sets = {FiveRecords()};
  const auto quality = MeasurePseudoLabels(sets, {{1, 0}, {2, 1}, {3, 1}, {4, 1}, {5, 0}});
  EXPECT_EQ(quality.counts, (LabelCounts{5, 3, 1, 1}));
  EXPECT_DOUBLE_EQ(quality.coverage, 0.75);
  EXPECT_DOUBLE_EQ(quality.accuracy, 2.0 / 3);
  EXPECT_DOUBLE_EQ(quality.accuracy_without_threshold, 0.75);
  EXPECT_EQ(quality.per_class[0].labelled, 2u);
  EXPECT_DOUBLE_EQ(quality.per_class[0].precision, 0.5);
  EXPECT_EQ(quality.per_class[1].true_count, 3u);
  EXPECT_DOUBLE_EQ(quality.per_class[1].recall, 1.0 / 3);
  EXPECT_EQ(quality.reliability[13].count, 2u);
  EXPECT_DOUBLE_EQ(quality.reliability[13].accuracy, 0.5);
  EXPECT_EQ(quality.reliability[14].count, 1u);
  EXPECT_NEAR(quality.reliability[8].mean_confidence, 0.55, 1e-3);
}

TEST(PseudoLabelQuality, KnowsNoAccuracyWithoutTruth) {
  const std::vector<LabelSet> sets = {FiveRecords()};
  const auto quality = MeasurePseudoLabels(sets, {});
  EXPECT_TRUE(std::isnan(quality.accuracy));
  EXPECT_TRUE(std::isnan(quality.per_class[0].precision));
  EXPECT_DOUBLE_EQ(quality.coverage, 0.75);
  EXPECT_EQ(quality.reasons.at("not-a-jpeg"), 1u);
  EXPECT_DOUBLE_EQ(MeasurePseudoLabels({}, {}).coverage, 0);
}

TEST(LabelTruth, IsReadWithFurtherColumnsAndWindowsLines) {
  const auto truth = ReadLabelTruth(WriteTruth("key,class,name\r\n7,1,anger\r\n9,-1,\r\n"), 2);
  ASSERT_TRUE(truth) << truth.error().ToString();
  EXPECT_EQ(*truth, (LabelTruth{{7, 1}, {9, -1}}));
}

TEST(LabelTruth, NamesTheLineThatIsWrong) {
  for (const char* row : {"8,2", "8,x", "x,1", "7,0", "8"}) {
    const auto truth = ReadLabelTruth(WriteTruth("key,class\n7,1\n" + std::string(row) + "\n"), 2);
    ASSERT_FALSE(truth) << row;
    EXPECT_THAT(std::string(truth.error().message()), HasSubstr("line=3")) << row;
  }
  EXPECT_FALSE(ReadLabelTruth(WriteTruth("path,class\n"), 2));
  EXPECT_EQ(ReadLabelTruth("/nowhere/truth.csv", 2).error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ferment::dataset
