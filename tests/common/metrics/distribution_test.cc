// SPDX-License-Identifier: Apache-2.0
#include "common/metrics/distribution.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/metrics/prometheus_registry.h"

namespace ferment::metrics {
namespace {

TEST(Distribution, CountsAsAHistogramOfTheSameBoundsDoes) {
  const std::vector<double> bounds = {0.5, 1, 10};
  const auto direct = MakePrometheusRegistry();
  const auto added = MakePrometheusRegistry();
  Distribution distribution;
  for (const double value : {-1.0, 0.5, 0.75, 1.0, 1.5, 10.0, 11.0}) {
    distribution.Observe(value, bounds);
    direct->MakeHistogram("h", "Help.", bounds).Observe(value);
  }
  EXPECT_EQ(distribution.counts, (std::vector<std::uint64_t>{2, 2, 2, 1}));
  added->MakeHistogram("h", "Help.", bounds).Add(distribution.counts, distribution.sum);
  EXPECT_EQ(added->Exposition(), direct->Exposition());
}

TEST(Distribution, FitsItsBoundsWithAFiniteSumAlone) {
  const std::vector<double> bounds = {1, 2};
  EXPECT_TRUE((Distribution{{1, 0, 0}, 1}.Fits(bounds)));
  EXPECT_FALSE((Distribution{{}, 0}.Fits(bounds)));
  EXPECT_FALSE((Distribution{{1, 0}, 1}.Fits(bounds)));
  EXPECT_FALSE((Distribution{{1, 0, 0, 0}, 1}.Fits(bounds)));
  EXPECT_FALSE((Distribution{{1, 0, 0}, std::nan("")}.Fits(bounds)));
}

}  // namespace
}  // namespace ferment::metrics
