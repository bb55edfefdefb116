// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/accuracy_sequence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "common/base/random.h"

namespace ferment::coordinator {
namespace {

constexpr double kFloor = 0.6;

/// Returns: for each number of answers up to `longest`, the most right ones that still show the floor missed; -1: none.
std::vector<std::int64_t> StopsAt(std::uint64_t longest) {
  const auto shown = [](std::int64_t right, std::uint64_t n) {
    return AccuracySequence(kFloor, {static_cast<std::uint64_t>(right), n}).ShownBelowFloor();
  };
  std::vector<std::int64_t> stops{-1};
  std::int64_t right = -1;
  for (std::uint64_t n = 1; n <= longest; ++n) {
    while (right + 1 < static_cast<std::int64_t>(n) && shown(right + 1, n)) ++right;
    while (right >= 0 && !shown(right, n)) --right;
    stops.push_back(right);
  }
  return stops;
}

/// Returns: the chance that a teacher of this accuracy is stopped within the first `longest` canaries, looked at after
/// each: exact up to rounding, by the distribution over the number of right answers of all that go on.
double ChanceOfStop(double accuracy, std::uint64_t longest, const std::vector<std::int64_t>& stops) {
  std::vector<double> going{1};  // going[i]: chance of lowest + i right ones
  std::int64_t lowest = 0;
  double stopped = 0;
  for (std::uint64_t n = 1; n <= longest && !going.empty(); ++n) {
    going.push_back(0);
    for (std::size_t i = going.size() - 1; i > 0; --i) {
      going[i] = going[i] * (1 - accuracy) + going[i - 1] * accuracy;
    }
    going[0] *= 1 - accuracy;
    std::size_t gone = 0;
    while (gone < going.size() && (lowest <= stops[n] || going[gone] < 1e-30)) {
      if (lowest <= stops[n]) stopped += going[gone];
      ++gone;
      ++lowest;
    }
    going.erase(going.begin(), going.begin() + static_cast<std::ptrdiff_t>(gone));
    while (!going.empty() && going.back() < 1e-30) going.pop_back();
  }
  return stopped;
}

/// Returns: after how many canaries in shards of 20 a teacher is stopped, or 0 if not within `longest`.
std::uint64_t StoppedAfter(std::uint64_t longest, const std::function<bool()>& right) {
  CanaryCounts counts;
  while (counts.checked < longest) {
    for (int i = 0; i < 20; ++i) counts.Add({right() ? 1U : 0U, 1});
    if (AccuracySequence(kFloor, counts).ShownBelowFloor()) return counts.checked;
  }
  return 0;
}

double ShareStopped(double accuracy, std::uint64_t longest, int seeds) {
  int stopped = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    RandomSequence random(static_cast<std::uint64_t>(seed), StreamOf("accuracy_sequence_test"));
    if (StoppedAfter(longest, [&] { return random.Uniform(0, 1) < accuracy; }) != 0) ++stopped;
  }
  return static_cast<double>(stopped) / seeds;
}

TEST(AccuracySequence, KnowsNothingAtFirstAndMoreWithEachAnswer) {
  EXPECT_DOUBLE_EQ(AccuracySequence(kFloor, {}).UpperBound(), 1);
  EXPECT_DOUBLE_EQ(AccuracySequence(kFloor, {}).Mean(), 0);
  EXPECT_FALSE(AccuracySequence(kFloor, {}).ShownBelowFloor());
  EXPECT_FALSE(AccuracySequence(kFloor, {0, 2}).ShownBelowFloor()) << "two wrong answers may be chance";
  EXPECT_DOUBLE_EQ(AccuracySequence(kFloor, {40, 40}).UpperBound(), 1);
  double last = 1;
  for (const std::uint64_t n : {20, 200, 2'000, 20'000}) {
    const double bound = AccuracySequence(kFloor, {n / 2, n}).UpperBound();
    EXPECT_LT(bound, last);
    EXPECT_GT(bound, 0.5);
    last = bound;
  }
  EXPECT_LT(last, 0.52);
}

TEST(AccuracySequence, IsShownBelowTheFloorWhereItsBoundIs) {
  for (const double floor : {0.05, 0.45, 0.6, 0.9, 1.0}) {
    for (std::uint64_t n = 5; n <= 500; n += 45) {
      for (std::uint64_t right = 0; right <= n; right += 5) {
        const AccuracySequence sequence(floor, {right, n});
        if (std::abs(sequence.UpperBound() - floor) < 1e-9) continue;
        EXPECT_EQ(sequence.ShownBelowFloor(), sequence.UpperBound() < floor)
            << "floor=" << floor << " right=" << right << " n=" << n;
      }
    }
  }
}

// The predictions of T16.1, computed beforehand with another program from the formula in the header.
TEST(AccuracySequence, StopsBadTeachersInTimeAndHealthyOnesHardlyEver) {
  const auto stops = StopsAt(50'000);
  EXPECT_NEAR(ChanceOfStop(0.125, 50, stops), 0.9994, 1e-4);
  EXPECT_GT(ChanceOfStop(0.125, 100, stops), 1 - 1e-6);
  EXPECT_NEAR(ChanceOfStop(0.50, 500, stops), 0.9548, 1e-4);
  EXPECT_NEAR(ChanceOfStop(0.55, 2'000, stops), 0.9592, 1e-4);
  EXPECT_NEAR(ChanceOfStop(0.59, 50'000, stops), 0.9162, 1e-4);
  EXPECT_NEAR(ChanceOfStop(0.60, 50'000, stops), 0.0212, 1e-4) << "at the floor itself: at most kSequenceError, ever";
  EXPECT_NEAR(ChanceOfStop(0.65, 20'000, stops), 1.7e-5, 1e-6);
}

TEST(AccuracySequence, AHealthyTeacherIsFalselyStoppedInLessThanAThousandthOfAMillionCanaries) {
  constexpr double kAccuracy = 0.65;
  constexpr std::uint64_t kExact = 20'000;
  const auto stops = StopsAt(1'000'000);
  double chance = ChanceOfStop(kAccuracy, kExact, stops);
  // From there on by Chernoff's bound: the chance of so few right answers is at most exp(-n KL(share, accuracy)).
  for (std::uint64_t n = kExact; n < stops.size(); ++n) {
    const double share = static_cast<double>(stops[n]) / static_cast<double>(n);
    const double divergence =
        share * std::log(share / kAccuracy) + (1 - share) * std::log((1 - share) / (1 - kAccuracy));
    chance += std::exp(-static_cast<double>(n) * divergence);
  }
  EXPECT_LT(chance, 2e-5);
}

TEST(AccuracySequence, GrossFaultsAreStoppedWithinFiveHundredCanaries) {
  constexpr int kClasses = 8;
  for (int seed = 0; seed < 200; ++seed) {
    RandomSequence random(static_cast<std::uint64_t>(seed), StreamOf("gross_faults"));
    const auto face = [&] { return random.Below(kClasses); };
    const auto named = [&](std::uint64_t truth) { return random.Uniform(0, 1) < 0.8 ? truth : face(); };
    const std::vector<std::pair<std::string, std::function<bool()>>> faults = {
        {"one class", [&] { return face() == 3; }},
        {"uniform noise", [&] { return face() == face(); }},
        {"labels permuted",
         [&] {
           const std::uint64_t truth = face();
           return (named(truth) + 1) % kClasses == truth;
         }},
        {"not a number", [] { return false; }}};
    for (const auto& [name, right] : faults) {
      const std::uint64_t after = StoppedAfter(500, right);
      EXPECT_TRUE(after > 0 && after <= 100) << name << " seed=" << seed << " after=" << after;
    }
  }
}

TEST(AccuracySequence, SimulatedTeachersFareAsPredicted) {
  EXPECT_GT(ShareStopped(0.55, 2'000, 400), 0.92);
  EXPECT_GT(ShareStopped(0.59, 50'000, 50), 0.8);
  EXPECT_EQ(ShareStopped(0.65, 20'000, 100), 0);
}

}  // namespace
}  // namespace ferment::coordinator
