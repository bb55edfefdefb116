// SPDX-License-Identifier: Apache-2.0
#include "common/metrics/distribution.h"

#include <algorithm>
#include <cmath>

namespace ferment::metrics {

void Distribution::Observe(double value, std::span<const double> bounds) {
  counts.resize(bounds.size() + 1);
  ++counts[static_cast<std::size_t>(std::ranges::lower_bound(bounds, value) - bounds.begin())];
  sum += value;
}

bool Distribution::Fits(std::span<const double> bounds) const {
  return counts.size() == bounds.size() + 1 && std::isfinite(sum);
}

}  // namespace ferment::metrics
