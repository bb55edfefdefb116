// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_log.h"

#include <gtest/gtest.h>

namespace ferment::rpc {
namespace {

using std::chrono::seconds;

TEST(LineLimit, TakesTheFirstOfASpanAndTellsHowManyItLeftOut) {
  LineLimit limit(2, seconds(10));
  const std::chrono::steady_clock::time_point begin(seconds(1'000));
  EXPECT_EQ(limit.Take(begin), 0U);
  EXPECT_EQ(limit.Take(begin + seconds(9)), 0U);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limit.Take(begin + seconds(9)), std::nullopt);
  EXPECT_EQ(limit.Take(begin + seconds(10)), 5U);
  EXPECT_EQ(limit.Take(begin + seconds(19)), 0U);
  EXPECT_EQ(limit.Take(begin + seconds(19)), std::nullopt);
}

}  // namespace
}  // namespace ferment::rpc
