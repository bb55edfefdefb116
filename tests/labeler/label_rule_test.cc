// SPDX-License-Identifier: Apache-2.0
#include "labeler/label_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "common/io/formats/half_float.h"

namespace ferment::labeler {
namespace {

using dataset::LabelStatus;

TEST(LabelRule, TiesGoToTheLowestClass) {
  const std::vector<float> logits = {1, 3, 3, 0};
  const LabelRow row = ApplyLabelRule({1.0, 0.1}, logits);
  EXPECT_EQ(row.label, 1);
  EXPECT_EQ(row.status, LabelStatus::kLabelled);
}

TEST(LabelRule, TheThresholdIsComparedWithTheConfidenceAsStored) {
  // Two equal logits: the confidence is 0.5 exactly, also as a half.
  const std::vector<float> logits = {2, 2};
  EXPECT_EQ(ApplyLabelRule({1.0, 0.5}, logits).status, LabelStatus::kLabelled);
  EXPECT_EQ(ApplyLabelRule({1.0, 0.5001}, logits).status, LabelStatus::kAbstained);
  // 0.60003 is 0.60009765625 as a half, and the half is what counts.
  const float gap = std::log(0.60003F / 0.39997F);
  const LabelRow row = ApplyLabelRule({1.0, 0.60005}, std::vector<float>{gap, 0});
  EXPECT_EQ(row.status, static_cast<double>(io::FloatFromHalf(row.confidence_half)) >= 0.60005
                            ? LabelStatus::kLabelled
                            : LabelStatus::kAbstained);
}

TEST(LabelRule, TauSharpensAndFlattens) {
  const std::vector<float> logits = {0, 1};
  const auto confidence = [&](double tau) {
    return io::FloatFromHalf(ApplyLabelRule({tau, 0}, logits).confidence_half);
  };
  EXPECT_NEAR(confidence(1.0), 0.7311, 1e-3);
  EXPECT_GT(confidence(0.5), confidence(1.0));
  EXPECT_LT(confidence(2.0), confidence(1.0));
}

TEST(LabelRule, LogitsThatAreNotFiniteAreQuarantined) {
  const std::vector<float> logits = {0, std::numeric_limits<float>::quiet_NaN(), 1};
  const LabelRow row = ApplyLabelRule({1.0, 0.5}, logits);
  EXPECT_EQ(row.status, LabelStatus::kQuarantined);
  EXPECT_EQ(row.label, dataset::kNoLabel);
  EXPECT_EQ(row.confidence_half, 0);
  EXPECT_EQ(row.probabilities_half, std::vector<std::uint16_t>(3, 0));
}

TEST(LabelRule, LargeLogitsDoNotOverflow) {
  const LabelRow row = ApplyLabelRule({0.1, 0.6}, std::vector<float>{1e30F, 0});
  EXPECT_EQ(row.label, 0);
  EXPECT_EQ(io::FloatFromHalf(row.confidence_half), 1.0F);
}

}  // namespace
}  // namespace ferment::labeler
