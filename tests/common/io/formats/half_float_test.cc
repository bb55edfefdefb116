// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/half_float.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ferment::io {
namespace {

TEST(HalfFloat, EveryHalfComesBackFromItsFloat) {
  for (std::uint32_t half = 0; half <= 0xFFFF; ++half) {
    const float value = FloatFromHalf(static_cast<std::uint16_t>(half));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(FloatFromHalf(HalfFromFloat(value))));
    } else {
      EXPECT_EQ(HalfFromFloat(value), half);
    }
  }
}

TEST(HalfFloat, RoundsToTheNearestAndTiesToEven) {
  for (std::uint32_t half = 0; half < 0x7BFF; ++half) {
    const float low = FloatFromHalf(static_cast<std::uint16_t>(half));
    const float high = FloatFromHalf(static_cast<std::uint16_t>(half + 1));
    const float middle = low + (high - low) / 2;
    EXPECT_EQ(HalfFromFloat(middle), half % 2 == 0 ? half : half + 1) << half;
    EXPECT_EQ(HalfFromFloat(std::nextafter(middle, low)), half) << half;
    EXPECT_EQ(HalfFromFloat(std::nextafter(middle, high)), half + 1) << half;
  }
}

TEST(HalfFloat, PastTheLargestIsInfinity) {
  EXPECT_EQ(HalfFromFloat(65504.0F), 0x7BFF);
  EXPECT_EQ(HalfFromFloat(std::nextafter(65520.0F, 0.0F)), 0x7BFF);
  EXPECT_EQ(HalfFromFloat(65520.0F), 0x7C00);
  EXPECT_EQ(HalfFromFloat(-std::numeric_limits<float>::infinity()), 0xFC00);
  EXPECT_EQ(HalfFromFloat(-0.0F), 0x8000);
}

}  // namespace
}  // namespace ferment::io
