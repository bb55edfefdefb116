// SPDX-License-Identifier: Apache-2.0
#include "coordinator/ending.h"

#include <gtest/gtest.h>

namespace ferment::coordinator {
namespace {

TEST(Ending, IntAndUsr2EndAsTermDoes) {
  for (const int number : {SIGTERM, SIGINT, SIGUSR2}) {
    Ending ending;
    EXPECT_FALSE(ending.leaving().stop_requested());
    ending.OnSignal(number);
    EXPECT_TRUE(ending.leaving().stop_requested());
    EXPECT_EQ(ending.Wait(), exit_code::kTerminated);
  }
}

TEST(Ending, TheFirstReasonCounts) {
  Ending ending;
  ending.Because(exit_code::kStorageFailed);
  ending.OnSignal(SIGINT);
  EXPECT_EQ(ending.Wait(), exit_code::kStorageFailed);
}

TEST(EndingDeathTest, ASecondIntWaitsForNothing) {
  Ending ending;
  ending.OnSignal(SIGTERM);
  ending.OnSignal(SIGINT);
  EXPECT_EXIT(ending.OnSignal(SIGINT), ::testing::ExitedWithCode(exit_code::kInterrupted), "");
}

}  // namespace
}  // namespace ferment::coordinator
