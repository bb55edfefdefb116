// SPDX-License-Identifier: Apache-2.0
#include "labeler/plan_agreement.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <stop_token>
#include <vector>

#include "common/dataset/pictures/png_writer.h"
#include "common/dataset/records/record_source.h"

namespace ferment::labeler {
namespace {

/// Grey pictures; the record's index is their level. Some are damaged.
class GreyRecords final : public dataset::RecordSource {
 public:
  explicit GreyRecords(std::uint64_t count, std::uint64_t damaged = 999) : count_(count), damaged_(damaged) {}
  std::uint64_t size() const override { return count_; }
  std::uint64_t KeyAt(std::uint64_t index) const override { return index; }
  Result<dataset::EncodedRecord> Read(std::uint64_t index) const override {
    if (index == damaged_) return Fail(DataLossError("damaged"));
    const dataset::Image image{1, 1, std::vector<std::uint8_t>(3, static_cast<std::uint8_t>(index))};
    return dataset::EncodedRecord(index, dataset::EncodePng(image));
  }

 private:
  std::uint64_t count_;
  std::uint64_t damaged_;
};

/// Two classes; says what a function of the level says: how much more likely the first one is.
class LevelAnnotator final : public Annotator {
 public:
  explicit LevelAnnotator(std::function<float(int)> margin) : margin_(std::move(margin)) {}
  std::size_t batch() const override { return 3; }
  std::size_t classes() const override { return 2; }
  Result<Annotation> Annotate(std::span<const dataset::Image> faces) override {
    Annotation annotation;
    for (const dataset::Image& face : faces) {
      annotation.logits.push_back(margin_(face.rgb[0]));
      annotation.logits.push_back(0);
    }
    return annotation;
  }

 private:
  std::function<float(int)> margin_;
};

PlanAgreement Compare(std::uint64_t records, const std::function<float(int)>& exact,
                      const std::function<float(int)>& reduced, int threads = 2, std::uint64_t damaged = 999) {
  const GreyRecords source(records, damaged);
  LevelAnnotator first(exact), second(reduced);
  const auto agreement =
      MeasureAgreement(source, SpreadIndices(records, records), {first, second}, {.tau = 1, .threshold = 0.9}, threads);
  EXPECT_TRUE(agreement);
  return *agreement;
}

constexpr float kSure = 9;

TEST(PlanAgreement, OneOtherLabelInAHundredIsAllowedAndTwoAreNot) {
  const auto sure = [](int) { return kSure; };
  const auto one = Compare(100, sure, [](int level) { return level < 1 ? -kSure : kSure; });
  EXPECT_EQ(one.compared, 100U);
  EXPECT_EQ(one.same, 99U);
  EXPECT_GE(one.Share(), kLeastAgreement);
  EXPECT_LT(Compare(100, sure, [](int level) { return level < 2 ? -kSure : kSure; }).Share(), kLeastAgreement);
}

TEST(PlanAgreement, LabelsCountThatPassInEitherPlan) {
  // 0: in both; 1: in the first; 2: in the second, another class; 3: in none, another class.
  const auto agreement = Compare(
      4, [](int level) { return level < 2 ? kSure : 0.5F; },
      [](int level) {
        return level == 0 ? kSure : level == 1 ? 0.5F : level == 2 ? -kSure : -0.5F;
      });
  EXPECT_EQ(agreement.faces, 4U);
  EXPECT_EQ(agreement.compared, 3U);
  EXPECT_EQ(agreement.same, 2U);
  EXPECT_EQ(agreement.flipped, 2U);
}

TEST(PlanAgreement, DamagedRecordsAreLeftOutAndThreadsChangeNothing) {
  for (const int threads : {1, 2, 5}) {
    const auto agreement = Compare(
        20, [](int level) { return level % 2 == 0 ? kSure : -kSure; }, [](int) { return kSure; }, threads,
        /*damaged=*/4);
    EXPECT_EQ(agreement.faces, 19U);
    EXPECT_EQ(agreement.compared, 19U);
    EXPECT_EQ(agreement.same, 9U);
  }
}

TEST(PlanAgreement, WhereNothingPassesThereIsNothingToDisagreeAbout) {
  const auto agreement = Compare(
      5, [](int) { return 0.1F; }, [](int) { return -0.1F; });
  EXPECT_EQ(agreement.compared, 0U);
  EXPECT_GE(agreement.Share(), kLeastAgreement);
}

TEST(PlanAgreement, ANetworkThatSaysNothingDoesNotAgree) {
  const auto agreement = Compare(
      10, [](int) { return kSure; }, [](int) { return std::numeric_limits<float>::quiet_NaN(); });
  EXPECT_EQ(agreement.same, 0U);
  EXPECT_LT(agreement.Share(), kLeastAgreement);
}

TEST(PlanAgreement, AStopEndsTheComparisonAfterTheBatchesThatHaveBegun) {
  const GreyRecords source(30);
  std::stop_source ending;
  int looked_at = 0;
  LevelAnnotator stopped([&](int) {
    ++looked_at;
    ending.request_stop();
    return kSure;
  });
  LevelAnnotator other([](int) { return kSure; });
  const auto agreement = MeasureAgreement(source, SpreadIndices(30, 30), {stopped, other}, {.tau = 1, .threshold = 0.9},
                                          /*threads=*/1, ending.get_token());
  ASSERT_FALSE(agreement);
  EXPECT_EQ(agreement.error().code(), StatusCode::kCancelled);
  EXPECT_EQ(looked_at, 3) << "one batch";
}

TEST(SpreadIndices, AreSpreadEvenlyAndNeverTwiceTheSame) {
  EXPECT_EQ(SpreadIndices(3, 5), (std::vector<std::uint64_t>{0, 1, 2}));
  EXPECT_EQ(SpreadIndices(10, 4), (std::vector<std::uint64_t>{0, 2, 5, 7}));
  EXPECT_TRUE(SpreadIndices(0, 4).empty());
  const auto many = SpreadIndices(5'822'653, 512);
  EXPECT_EQ(many.size(), 512U);
  for (std::size_t i = 1; i < many.size(); ++i) EXPECT_NEAR(static_cast<double>(many[i] - many[i - 1]), 11372.4, 1);
  EXPECT_LT(many.back(), 5'822'653U);
}

}  // namespace
}  // namespace ferment::labeler
