// SPDX-License-Identifier: Apache-2.0
#include "common/report/classification_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "common/base/json.h"

namespace ferment::report {
namespace {

TEST(ClassificationMetrics, AgreesWithScikitLearnOnTheFixtures) {
  std::ifstream file(FERMENT_FIXTURES "/scikit/metrics.json");
  ASSERT_TRUE(file) << "tests/fixtures/scikit/metrics.json is missing";
  std::stringstream text;
  text << file.rdbuf();
  const Json fixtures = ParseJson(text.str()).value();
  ASSERT_GE(fixtures["cases"].size(), 20U);
  for (const Json& expected : fixtures["cases"]) {
    ConfusionMatrix matrix(8);
    std::vector<ScoredPrediction> scored;
    for (std::size_t i = 0; i < expected["label"].size(); ++i) {
      const int label = expected["label"][i];
      const int prediction = expected["prediction"][i];
      matrix.Add(label, prediction);
      if (label >= 0) scored.push_back({expected["confidence"][i].get<double>(), label == prediction});
    }
    EXPECT_EQ(Json(matrix.Rows()), expected["confusion"]);
    EXPECT_NEAR(matrix.MacroF1(), expected["macro_f1"].get<double>(), 1e-12);
    EXPECT_NEAR(matrix.Accuracy(), expected["accuracy"].get<double>(), 1e-12);
    EXPECT_NEAR(ExpectedCalibrationError(scored, 10), expected["ece"]["10"].get<double>(), 1e-9);
    EXPECT_NEAR(ExpectedCalibrationError(scored, 15), expected["ece"]["15"].get<double>(), 1e-9);
  }
}

// method.md section 10, check 9: always Other on the Aff-Wild2 validation histogram.
TEST(ClassificationMetrics, Check9AlwaysOtherScoresTheKnownFloor) {
  const std::vector<int> histogram = {82258, 6126, 5296, 8408, 34511, 25157, 12332, 106444};
  ConfusionMatrix matrix(8);
  for (int label = 0; label < 8; ++label)
    for (int i = 0; i < histogram[static_cast<std::size_t>(label)]; ++i) matrix.Add(label, 7);
  EXPECT_NEAR(matrix.MacroF1(), 0.069, 5e-4);
}

// Classes 0 to 2 by hand, in two parts that are pooled; 3 is labelled and never named, 4 named and never labelled, and
// 5 to 7 are in neither, where scikit-learn would divide by 5.
TEST(ClassificationMetrics, Check9PooledMacroF1IsTheHandExampleDividedByEight) {
  ConfusionMatrix matrix(8), rest(8);
  for (const auto& [label, prediction] : {std::pair(0, 0), {0, 0}, {0, 1}, {1, 1}}) matrix.Add(label, prediction);
  for (const auto& [label, prediction] : {std::pair(1, 1), {1, 2}, {2, 2}, {3, 0}, {2, 4}}) rest.Add(label, prediction);
  matrix.Merge(rest);
  const std::vector<double> expected = {2.0 / 3, 2.0 / 3, 0.5, 0, 0, 0, 0, 0};
  for (std::size_t c = 0; c < 8; ++c) EXPECT_DOUBLE_EQ(matrix.PerClassF1()[c], expected[c]) << "class " << c;
  EXPECT_DOUBLE_EQ(matrix.MacroF1(), (2.0 / 3 + 2.0 / 3 + 0.5) / 8);
}

TEST(ClassificationMetrics, Check9AClassAbsentFromBothSidesCountsZeroAndStaysInTheDivisor) {
  ConfusionMatrix matrix(8);
  for (int c = 0; c < 4; ++c) matrix.Add(c, c);
  EXPECT_EQ(matrix.PerClassF1(), (std::vector<double>{1, 1, 1, 1, 0, 0, 0, 0}));
  EXPECT_DOUBLE_EQ(matrix.MacroF1(), 0.5);
  EXPECT_DOUBLE_EQ(ConfusionMatrix(8).MacroF1(), 0);
}

TEST(ClassificationMetrics, UnannotatedSamplesAreNotCounted) {
  ConfusionMatrix matrix(2);
  matrix.Add(-1, 1);
  matrix.Add(1, 1);
  EXPECT_EQ(matrix.Total(), 1U);
}

}  // namespace
}  // namespace ferment::report
