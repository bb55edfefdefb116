// SPDX-License-Identifier: Apache-2.0
#include "common/base/whole_number.h"

#include <gtest/gtest.h>

namespace ferment {
namespace {

TEST(WholeNumber, TakesTheRangeWithItsEnds) {
  const auto check = WholeNumber(1, 100);
  for (const char* good : {"1", "42", "100"}) EXPECT_EQ(check(good), "") << good;
  EXPECT_EQ(check("0"), "must be a whole number from 1 to 100: 0");
  EXPECT_EQ(check("101"), "must be a whole number from 1 to 100: 101");
  EXPECT_EQ(WholeNumber(0, UINT64_MAX)("18446744073709551615"), "");
  EXPECT_EQ(WholeNumber(0, 9)("0"), "");
}

TEST(WholeNumber, RefusesWhatOtherParsersReadAsAnotherNumber) {
  const auto check = WholeNumber(0, UINT64_MAX);
  for (const char* bad : {"-1", "-18446744073709551615", "18446744073709551616", "010", "0x10", "+1", "1.5", "1e3", "",
                          " 1", "1 ", "one"}) {
    EXPECT_NE(check(bad), "") << bad;
  }
}

}  // namespace
}  // namespace ferment
