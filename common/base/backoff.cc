// SPDX-License-Identifier: Apache-2.0
#include "common/base/backoff.h"

#include <algorithm>

#include "common/base/random.h"

namespace ferment {

std::chrono::milliseconds Backoff::Next() {
  const int doublings = std::min(attempt_, 30);
  const double limit = std::min(static_cast<double>(cap_.count()),
                                static_cast<double>(first_.count()) * static_cast<double>(1LL << doublings));
  const double share = 1.0 - RandomUniform(seed_, StreamOf("backoff"), static_cast<std::uint64_t>(attempt_));
  ++attempt_;
  return std::chrono::milliseconds(std::max<long long>(1, static_cast<long long>(limit * share)));
}

}  // namespace ferment
