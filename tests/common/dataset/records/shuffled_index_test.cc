// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/shuffled_index.h"

#include <gtest/gtest.h>

#include <vector>

namespace ferment::dataset {
namespace {

TEST(ShuffledIndex, IsAPermutationForEveryCount) {
  for (const std::uint64_t count : {1u, 2u, 3u, 5u, 8u, 17u, 64u, 100u, 1000u}) {
    std::vector<int> hits(count, 0);
    for (std::uint64_t i = 0; i < count; ++i) ++hits[ShuffledIndex(count, 7, 3, i)];
    for (const int hit : hits) EXPECT_EQ(hit, 1) << "count=" << count;
  }
}

TEST(ShuffledIndex, DependsOnSeedAndStream) {
  int same_seed = 0, same_stream = 0, at_home = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    same_seed += ShuffledIndex(1000, 7, 3, i) == ShuffledIndex(1000, 7, 4, i);
    same_stream += ShuffledIndex(1000, 7, 3, i) == ShuffledIndex(1000, 8, 3, i);
    at_home += ShuffledIndex(1000, 7, 3, i) == i;
  }
  EXPECT_LT(same_seed, 20);
  EXPECT_LT(same_stream, 20);
  EXPECT_LT(at_home, 20);
}

}  // namespace
}  // namespace ferment::dataset
