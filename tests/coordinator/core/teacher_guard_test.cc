// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/teacher_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace ferment::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const GuardLimits kLimits{0.6, {"Neutral", "Anger", "Fear", "Happiness"}};

RecordCounts Records(const std::vector<std::uint64_t>& histogram, std::uint64_t abstained = 100) {
  const std::uint64_t labelled = std::accumulate(histogram.begin(), histogram.end(), std::uint64_t{0});
  return {labelled + abstained, labelled, abstained, 0, histogram};
}

std::vector<std::string> WarningsOf(TeacherEvidence evidence) {
  evidence.canaries = {80, 100};
  std::vector<std::string> kinds;
  for (const auto& warning : JudgeTeacher(evidence, kLimits).warnings) kinds.push_back(warning.kind);
  return kinds;
}

TEST(TeacherGuard, StopsATeacherThatIsShownToBeBelowTheFloorAndSaysByHowMuch) {
  const auto trip = JudgeTeacher({{30, 200}, {}}, kLimits).trip;
  ASSERT_TRUE(trip);
  EXPECT_EQ(trip->cause, TripCause::kAccuracy);
  EXPECT_THAT(trip->reason, HasSubstr("30 of 200 held-out labelled faces"));
  EXPECT_THAT(trip->reason, HasSubstr("accuracy 0.15, with 95 % confidence at most 0.4"));
  EXPECT_THAT(trip->reason, HasSubstr("below labeling.min_accuracy=0.6"));
}

TEST(TeacherGuard, DoesNotStopForWhatMayBeChanceNorWithoutAFloor) {
  EXPECT_FALSE(JudgeTeacher({}, kLimits).trip);
  EXPECT_FALSE(JudgeTeacher({{2, 8}, {}}, kLimits).trip);
  EXPECT_FALSE(JudgeTeacher({{580, 1000}, {}}, kLimits).trip);
  EXPECT_FALSE(JudgeTeacher({{0, 1000}, {}}, {0, kLimits.classes}).trip);
}

TEST(TeacherGuard, StopsATeacherThatGivesAllLabelsToOneClassOnceThereAreEnough) {
  const auto trip = JudgeTeacher({{}, Records({0, 0, 10, 2990})}, {0, kLimits.classes}).trip;
  ASSERT_TRUE(trip);
  EXPECT_EQ(trip->cause, TripCause::kCollapsed);
  EXPECT_THAT(trip->reason, HasSubstr("2990 of 3000 labels to one class, Happiness"));
  EXPECT_FALSE(JudgeTeacher({{}, Records({0, 0, 0, 1999})}, kLimits).trip) << "too few to say";
  EXPECT_THAT(JudgeTeacher({{}, Records({0, 0, 10, 2990})}, {}).trip->reason, HasSubstr("to one class, 3"))
      << "of classes without names, the number";
  EXPECT_FALSE(JudgeTeacher({{}, Records({0, 0, 40, 2960})}, kLimits).trip) << "one-sided, not collapsed";
}

TEST(TeacherGuard, OnlyWarnsOfSharesThatRealFacesHaveToo) {
  // Faces of the news: half neutral, two fifths happy, hardly any fear.
  const TeacherEvidence news{{}, Records({5000, 150, 10, 4000}, 4000)};
  EXPECT_FALSE(JudgeTeacher(news, kLimits).trip);
  EXPECT_THAT(WarningsOf(news), ElementsAre("class_share", "class_share"));
  EXPECT_THAT(WarningsOf({{}, Records({600, 600, 600, 600}, 600)}), IsEmpty());
  EXPECT_THAT(WarningsOf({{}, Records({10, 0, 0, 0}, 5)}), IsEmpty()) << "too few to say";
}

TEST(TeacherGuard, WithoutALimitOnlyWarnsOfAThresholdThatTakesAllOrNothing) {
  EXPECT_THAT(WarningsOf({{}, Records({10, 10, 10, 10}, 4000)}), ElementsAre("acceptance"));
  EXPECT_THAT(WarningsOf({{}, Records({1000, 1000, 1000, 1000}, 0)}), ElementsAre("acceptance"));
  EXPECT_FALSE(JudgeTeacher({{}, Records({1000, 1000, 1000, 1000}, 0)}, kLimits).trip);
}

TEST(TeacherGuard, StopsByAcceptanceAndDriftWhereTheSpecHasLimits) {
  GuardLimits limits = kLimits;
  limits.min_acceptance = 0.2;
  limits.max_acceptance = 0.9;
  limits.max_drift = 0.25;
  const auto few = JudgeTeacher({{}, Records({100, 100, 100, 100}, 2000)}, limits).trip;
  ASSERT_TRUE(few);
  EXPECT_EQ(few->cause, TripCause::kAcceptance);
  EXPECT_THAT(few->reason, HasSubstr("a share of 0.1667 of 2400 records got a label; labeling.min_acceptance=0.2"));
  EXPECT_EQ(JudgeTeacher({{}, Records({600, 600, 600, 600}, 10)}, limits).trip->cause, TripCause::kAcceptance);
  EXPECT_FALSE(JudgeTeacher({{}, Records({1, 1, 1, 1}, 1900)}, limits).trip) << "too few to say";

  const RecordCounts before = Records({1000, 1000, 1000, 1000}, 1000);
  const RecordCounts other = Records({2200, 1000, 400, 400}, 1000);
  const auto drifted = JudgeTeacher({{}, other, &before}, limits).trip;
  ASSERT_TRUE(drifted);
  EXPECT_EQ(drifted->cause, TripCause::kDrift);
  EXPECT_THAT(drifted->reason, HasSubstr("PSI 0.5109, above labeling.max_drift=0.25"));
  EXPECT_FALSE(JudgeTeacher({{}, other}, limits).trip) << "the first teacher has none before it";
  EXPECT_FALSE(JudgeTeacher({{}, before, &before}, limits).trip);
}

TEST(TeacherGuard, WithoutALimitOnlyWarnsOfDriftAgainstTheLastAcceptedTeacher) {
  const RecordCounts before = Records({1000, 1000, 1000, 1000}, 1000);
  const RecordCounts same = Records({1010, 990, 1005, 995}, 1000);
  const RecordCounts other = Records({2200, 1000, 400, 400}, 1000);
  EXPECT_THAT(WarningsOf({{}, same, &before}), IsEmpty());
  EXPECT_THAT(WarningsOf({{}, other, &before}), ElementsAre("drift"));
  // (0.55-0.25) ln 2.2 + 2 (0.1-0.25) ln 0.4
  EXPECT_NEAR(LabelDrift(other, before), 0.3 * std::log(2.2) - 0.3 * std::log(0.4), 2e-3);
  EXPECT_EQ(LabelDrift(other, Records({10, 10, 10, 10})), 0) << "too few to compare with";
  EXPECT_EQ(LabelDrift(other, Records({1000, 1000, 1000})), 0) << "other classes";
}

TEST(TeacherGuard, WarnsWhereAFloorIsWantedAndNobodyMeasures) {
  const RecordCounts records = Records({600, 600, 600, 600}, 600);
  EXPECT_THAT(WarningsOf({{}, records}), IsEmpty());
  ASSERT_EQ(JudgeTeacher({{}, records}, kLimits).warnings.size(), 1U);
  EXPECT_EQ(JudgeTeacher({{}, records}, kLimits).warnings[0].kind, "unmeasured");
  EXPECT_THAT(JudgeTeacher({{}, records}, {0, kLimits.classes}).warnings, IsEmpty());
}

}  // namespace
}  // namespace ferment::coordinator
