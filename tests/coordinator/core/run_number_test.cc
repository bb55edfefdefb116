// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/run_number.h"

#include <gtest/gtest.h>

namespace ferment::coordinator {
namespace {

TEST(RunNumber, StandsAtTheEndOfTheId) {
  EXPECT_EQ(RunIdOf("faces-7", 12), "faces-7-12");
  EXPECT_EQ(RunNumberOf("faces-7-12"), 12U);
  EXPECT_EQ(RunNumberOf(RunIdOf("x", 18'446'744'073'709'551'615U)), 18'446'744'073'709'551'615U);
}

TEST(RunNumber, IsZeroOfWhatIsNoId) {
  for (const char* text : {"", "faces", "faces-", "faces-1x", "faces--1 ", "faces-18446744073709551616"}) {
    EXPECT_EQ(RunNumberOf(text), 0U) << text;
  }
}

}  // namespace
}  // namespace ferment::coordinator
