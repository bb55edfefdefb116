// SPDX-License-Identifier: Apache-2.0
//
// Tells a series of measurements that grows without end from one that is noisy, steps once, or rises and falls.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace ferment::chaos {

struct Reading {
  /// Since the series began.
  std::chrono::milliseconds at{0};
  double value = 0;
};

struct FlatnessLimits {
  /// Growth a minute from which on it is too much.
  double per_minute = 0;
  /// Growth over what is looked at, below which nothing is said.
  double in_all = 0;
};

/// What the last two thirds of a series come to: a process fills caches and pools in the first.
struct Growth {
  double first = 0;
  double last = 0;
  double highest = 0;
  /// The median of the slopes between all pairs of floors: one step, or one cut, does not move it.
  double per_minute = 0;
  /// Of the floors, which are the lowest readings of twelve equal parts: how often the next one is higher, and lower.
  int rises = 0;
  int falls = 0;
  /// From the first floor to the last.
  double in_all = 0;
};

/// Returns: nothing for fewer than 60 readings in the last two thirds.
std::optional<Growth> GrowthOf(const std::vector<Reading>& readings);

/// A leak lifts what is left at the lowest moment of each part, again and again. So both: the slope and the whole are
/// past the limits, and the floors rise at least four times, and twice as often as they fall. A period longer than a
/// third of the series looks like growth. Returns: what is wrong, or "".
std::string WhyNotFlat(const Growth& growth, const FlatnessLimits& limits);

}  // namespace ferment::chaos
