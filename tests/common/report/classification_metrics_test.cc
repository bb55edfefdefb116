// SPDX-License-Identifier: Apache-2.0
#include "common/report/classification_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

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

TEST(ClassificationMetrics, AnAbsentClassCountsZeroAndStaysInTheDivisor) {
  ConfusionMatrix matrix(4);
  matrix.Add(0, 0);
  matrix.Add(1, 1);
  EXPECT_DOUBLE_EQ(matrix.MacroF1(), 0.5);
}

TEST(ClassificationMetrics, UnannotatedSamplesAreNotCounted) {
  ConfusionMatrix matrix(2);
  matrix.Add(-1, 1);
  matrix.Add(1, 1);
  EXPECT_EQ(matrix.Total(), 1U);
}

}  // namespace
}  // namespace ferment::report
