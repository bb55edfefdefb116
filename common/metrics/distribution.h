// SPDX-License-Identifier: Apache-2.0
//
// Values counted by bucket in one process, to be added to a histogram of another's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace ferment::metrics {

// Upper bounds of what trainers and labelers report. They never change: an older process counts by them.

inline constexpr std::array kStepSecondsBounds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0};
/// From a sum in shared memory to just before a collective gives up.
inline constexpr std::array kCollectiveSecondsBounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                        0.025,  0.05,    0.1,    0.5,   1.0,    10.0,  100.0};
inline constexpr std::array kStalenessBounds = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0};
inline constexpr std::array kConfidenceBounds = {0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0};

/// A value.
struct Distribution {
  /// One a bound, and one for what lies above them all; not cumulative. Empty: nothing was observed.
  std::vector<std::uint64_t> counts;
  double sum = 0;

  /// Requires: the same bounds at every call, ascending. A value counts at the first bound that it does not pass.
  void Observe(double value, std::span<const double> bounds);
  /// Returns: whether it may be added to a histogram of these bounds, whoever sent it.
  bool Fits(std::span<const double> bounds) const;
  bool operator==(const Distribution&) const = default;
};

}  // namespace ferment::metrics
