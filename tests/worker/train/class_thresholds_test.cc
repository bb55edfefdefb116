// SPDX-License-Identifier: Apache-2.0
#include "worker/train/class_thresholds.h"

#include <gtest/gtest.h>

namespace ferment::worker {
namespace {

using Shares = std::vector<double>;

TEST(ClassThresholds, TheFixedRuleHasOneForAllAndLearnsNothing) {
  ClassThresholds thresholds(0.6, /*dynamic=*/false);
  thresholds.Observe(Shares{4, 0}, Shares{0, 0}, 4);
  EXPECT_EQ(thresholds.Of(2), (Shares{0.6, 0.6}));
  EXPECT_EQ(thresholds.status(), ClassStatus());
}

TEST(ClassThresholds, TheDynamicRuleStartsAsTheFixedOne) {
  EXPECT_EQ(ClassThresholds(0.6, /*dynamic=*/true).Of(3), (Shares{0.6, 0.6, 0.6}));
}

TEST(ClassThresholds, AClassThatIsLessConfidentThanTheRestGetsALowerOneByTheConvexMap) {
  ClassThresholds thresholds(0.6, /*dynamic=*/true);
  thresholds.set_status({.labelled = {0.5, 0.25, 0.25}, .confident = {0.45, 0.1, 0.2}});
  const Shares found = thresholds.Of(3);
  const double learned = (0.1 + 0.01 * 0.75) / (0.25 + 0.01) / 0.75;
  EXPECT_DOUBLE_EQ(found[0], 0.6);
  EXPECT_DOUBLE_EQ(found[1], 0.6 * learned / (2 - learned));
  EXPECT_DOUBLE_EQ(found[2], 0.6);  // surer than the average, though it has half as many faces as the first
}

TEST(ClassThresholds, ForgetsAHundredthAStep) {
  ClassThresholds thresholds(0.6, /*dynamic=*/true);
  thresholds.set_status({.labelled = {0.5, 0.5}, .confident = {0.5, 0.5}});
  thresholds.Observe(Shares{6, 2}, Shares{3, 2}, 8);
  const ClassStatus& status = thresholds.status();
  EXPECT_DOUBLE_EQ(status.labelled[0], 0.99 * 0.5 + 0.01 * 0.75);
  EXPECT_DOUBLE_EQ(status.labelled[1], 0.99 * 0.5 + 0.01 * 0.25);
  EXPECT_DOUBLE_EQ(status.confident[0], 0.99 * 0.5 + 0.01 * 0.375);
  EXPECT_DOUBLE_EQ(status.confident[1], 0.99 * 0.5 + 0.01 * 0.25);
  EXPECT_LT(thresholds.Of(2)[0], 0.6);
  EXPECT_DOUBLE_EQ(thresholds.Of(2)[1], 0.6);
}

TEST(ClassThresholds, OneFaceDoesNotOpenAClass) {
  ClassThresholds thresholds(0.6, /*dynamic=*/true);
  thresholds.Observe(Shares{127, 1}, Shares{100, 0}, 128);
  EXPECT_GT(thresholds.Of(2)[1], 0.55);
  for (int step = 0; step < 1000; ++step) thresholds.Observe(Shares{96, 32}, Shares{96, 0}, 128);
  EXPECT_LT(thresholds.Of(2)[1], 0.05);
}

TEST(ClassThresholds, WhereNobodyIsConfidentItIsTheFixedRule) {
  ClassThresholds thresholds(0.6, /*dynamic=*/true);
  for (int step = 0; step < 100'000; ++step) thresholds.Observe(Shares{8, 0}, Shares{0, 0}, 8);
  EXPECT_EQ(thresholds.Of(2), (Shares{0.6, 0.6}));
}

TEST(ClassThresholds, AClassThatIsNeverNamedKeepsTheFixedOne) {
  ClassThresholds thresholds(0.6, /*dynamic=*/true);
  for (int step = 0; step < 100'000; ++step) thresholds.Observe(Shares{8, 0}, Shares{8, 0}, 8);
  EXPECT_NEAR(thresholds.Of(2)[0], 0.6, 1e-9);
  EXPECT_NEAR(thresholds.Of(2)[1], 0.6, 1e-9);
}

}  // namespace
}  // namespace ferment::worker
