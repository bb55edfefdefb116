// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/flatness.h"

#include <algorithm>
#include <cstdio>
#include <limits>

namespace ferment::chaos {
namespace {

constexpr std::size_t kParts = 12;
constexpr std::size_t kReadingsAPart = 5;
constexpr int kFewestRises = 4;

double Minutes(std::chrono::milliseconds time) { return std::chrono::duration<double, std::ratio<60>>(time).count(); }

/// Returns: the lowest reading of each part; parts without any are left out.
std::vector<Reading> FloorsOf(const std::vector<Reading>& readings) {
  const auto begin = readings.front().at;
  const auto length = readings.back().at - begin + std::chrono::milliseconds(1);
  std::vector<Reading> floors;
  std::size_t former = kParts;
  for (const Reading& reading : readings) {
    const auto part = static_cast<std::size_t>((reading.at - begin) * kParts / length);
    if (part != former) floors.push_back(reading);
    if (reading.value < floors.back().value) floors.back() = reading;
    former = part;
  }
  return floors;
}

double MedianSlope(const std::vector<Reading>& floors) {
  std::vector<double> slopes;
  for (std::size_t i = 0; i < floors.size(); ++i) {
    for (std::size_t j = i + 1; j < floors.size(); ++j) {
      slopes.push_back((floors[j].value - floors[i].value) / Minutes(floors[j].at - floors[i].at));
    }
  }
  const auto middle = slopes.begin() + static_cast<std::ptrdiff_t>(slopes.size() / 2);
  std::nth_element(slopes.begin(), middle, slopes.end());
  return *middle;
}

std::string Text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

}  // namespace

std::optional<Growth> GrowthOf(const std::vector<Reading>& readings) {
  if (readings.empty()) return std::nullopt;
  const auto from = readings.front().at + (readings.back().at - readings.front().at) / 3;
  const auto first = std::find_if(readings.begin(), readings.end(), [&](const Reading& one) { return one.at >= from; });
  const std::vector<Reading> late(first, readings.end());
  if (late.size() < kParts * kReadingsAPart) return std::nullopt;
  const std::vector<Reading> floors = FloorsOf(late);
  if (floors.size() < kParts / 2) return std::nullopt;
  Growth growth{.first = late.front().value, .last = late.back().value, .highest = readings.front().value};
  for (const Reading& one : readings) growth.highest = std::max(growth.highest, one.value);
  for (std::size_t i = 1; i < floors.size(); ++i) {
    growth.rises += floors[i].value > floors[i - 1].value ? 1 : 0;
    growth.falls += floors[i].value < floors[i - 1].value ? 1 : 0;
  }
  growth.per_minute = MedianSlope(floors);
  growth.in_all = floors.back().value - floors.front().value;
  return growth;
}

std::string WhyNotFlat(const Growth& growth, const FlatnessLimits& limits) {
  if (growth.per_minute <= limits.per_minute || growth.in_all <= limits.in_all) return "";
  if (growth.rises < kFewestRises || growth.rises < 2 * growth.falls) return "";
  return "grows by " + Text(growth.per_minute) + " a minute, " + Text(growth.in_all) + " in all, in " +
         std::to_string(growth.rises) + " steps; allowed: " + Text(limits.per_minute) + " a minute, or " +
         Text(limits.in_all) + " in all";
}

}  // namespace ferment::chaos
