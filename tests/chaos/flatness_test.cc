// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/flatness.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "common/base/random.h"

namespace ferment::chaos {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

/// A reading every two seconds; `value` is given the minutes and a number drawn from 0 to 1.
std::vector<Reading> Series(minutes length, const std::function<double(double, double)>& value) {
  RandomSequence draw(7, StreamOf("readings"));
  std::vector<Reading> readings;
  for (seconds at{0}; at < length; at += seconds(2)) {
    const double noise = static_cast<double>(draw.Below(1'000'001)) / 1e6;
    readings.push_back({at, value(static_cast<double>(at.count()) / 60, noise)});
  }
  return readings;
}

std::string Verdict(minutes length, const FlatnessLimits& limits, const std::function<double(double, double)>& value) {
  const auto growth = GrowthOf(Series(length, value));
  return growth ? WhyNotFlat(*growth, limits) : "too short";
}

constexpr FlatnessLimits kMemory{.per_minute = 0.25, .in_all = 2};
constexpr FlatnessLimits kHandles{.per_minute = 0.05, .in_all = 3};

TEST(Flatness, CatchesALeakThatIsSmallerThanTheNoise) {
  const auto leaks = [](double t, double noise) { return 60 + 0.4 * t + 8 * noise; };
  EXPECT_NE(Verdict(minutes(20), kMemory, leaks), "");
  const auto holds = [](double, double noise) { return 60 + 8 * noise; };
  EXPECT_EQ(Verdict(minutes(20), kMemory, holds), "");
}

TEST(Flatness, CatchesAHandleThatIsLostNowAndThen) {
  // Three to ten connections come and go beside it.
  const auto leaks = [](double t, double noise) { return 20 + std::floor(t / 2) + std::floor(3 + 8 * noise); };
  EXPECT_NE(Verdict(minutes(20), kHandles, leaks), "");
  const auto holds = [](double, double noise) { return 20 + std::floor(3 + 8 * noise); };
  EXPECT_EQ(Verdict(minutes(20), kHandles, holds), "");
}

TEST(Flatness, CatchesALeakBelowASawtooth) {
  const auto leaks = [](double t, double noise) { return 60 + 0.5 * t + 20 * std::fmod(t, 1.5) + noise; };
  EXPECT_NE(Verdict(minutes(20), kMemory, leaks), "");
}

TEST(Flatness, ASawtoothIsFlat) {
  for (const double period : {0.3, 1.0, 2.0, 4.0}) {
    const auto rises_and_falls = [&](double t, double noise) { return 60 + 5 * std::fmod(t, period) + noise; };
    EXPECT_EQ(Verdict(minutes(20), kMemory, rises_and_falls), "") << "period=" << period;
  }
}

TEST(Flatness, StepsOfAnAllocatorAreFlat) {
  for (const double when : {8.0, 12.0, 19.0}) {
    const auto steps = [&](double t, double noise) { return 60 + (t > when ? 16 : 0) + noise / 1e3; };
    EXPECT_EQ(Verdict(minutes(20), kMemory, steps), "") << "when=" << when;
  }
  const auto twice = [](double t, double) { return 60.0 + (t > 9 ? 8 : 0) + (t > 16 ? 8 : 0); };
  EXPECT_EQ(Verdict(minutes(20), kMemory, twice), "");
}

TEST(Flatness, WhatGrowsWhileAProcessBeginsIsNotLookedAt) {
  const auto begins = [](double t, double noise) { return 20 + 10 * std::min(t, 6.0) + noise; };
  EXPECT_EQ(Verdict(minutes(20), kMemory, begins), "");
}

TEST(Flatness, GrowthWithinTheLimitsIsFlat) {
  EXPECT_EQ(Verdict(minutes(20), kMemory, [](double t, double) { return 60 + 0.2 * t; }), "");
  EXPECT_NE(Verdict(minutes(20), kMemory, [](double t, double) { return 60 + 0.3 * t; }), "");
  // Fast, and over before it comes to anything.
  EXPECT_EQ(Verdict(minutes(4), kMemory, [](double t, double) { return 60 + 0.3 * t; }), "");
}

TEST(Flatness, SaysNothingOfASeriesThatIsTooShort) {
  EXPECT_FALSE(GrowthOf({}));
  EXPECT_FALSE(GrowthOf(Series(minutes(2), [](double t, double) { return t; })));
  EXPECT_TRUE(GrowthOf(Series(minutes(4), [](double t, double) { return t; })));
}

TEST(Flatness, AGapIsNoGrowth) {
  std::vector<Reading> readings = Series(minutes(20), [](double, double noise) { return 60 + noise; });
  std::erase_if(readings, [](const Reading& one) { return one.at > minutes(9) && one.at < minutes(13); });
  const auto growth = GrowthOf(readings);
  ASSERT_TRUE(growth);
  EXPECT_EQ(WhyNotFlat(*growth, kMemory), "");
}

}  // namespace
}  // namespace ferment::chaos
