// SPDX-License-Identifier: Apache-2.0
#include "common/base/backoff.h"

#include <gtest/gtest.h>

namespace ferment {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, NeverExceedsItsDoublingLimitNorItsCap) {
  Backoff backoff(milliseconds(100), milliseconds(1000), 1);
  for (const int limit : {100, 200, 400, 800, 1000, 1000}) {
    const auto delay = backoff.Next();
    EXPECT_GE(delay.count(), 1);
    EXPECT_LE(delay.count(), limit);
  }
}

TEST(Backoff, StartsOverAfterAReset) {
  Backoff backoff(milliseconds(100), milliseconds(100000), 1);
  const auto first = backoff.Next();
  for (int i = 0; i < 5; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), first);
}

}  // namespace
}  // namespace ferment
