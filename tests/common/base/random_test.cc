// SPDX-License-Identifier: Apache-2.0
#include "common/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace ferment {
namespace {

TEST(Random, TheSameCounterGivesTheSameValue) {
  EXPECT_EQ(RandomBits(1, 2, 3), RandomBits(1, 2, 3));
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed)
    for (std::uint64_t stream = 0; stream < 10; ++stream)
      for (std::uint64_t index = 0; index < 10; ++index) seen.insert(RandomBits(seed, stream, index));
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(Random, UniformAndNormalHaveTheirMoments) {
  RandomSequence sequence(7, StreamOf("moments"));
  constexpr int kDraws = 20000;
  double sum = 0, sum_normal = 0, sum_square = 0;
  for (int i = 0; i < kDraws; ++i) sum += sequence.Uniform(0, 1);
  for (int i = 0; i < kDraws; ++i) {
    const double x = sequence.Normal();
    sum_normal += x;
    sum_square += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.01);
  EXPECT_NEAR(sum_normal / kDraws, 0.0, 0.03);
  EXPECT_NEAR(sum_square / kDraws, 1.0, 0.04);
}

TEST(Random, APermutationHoldsEachIndexOnce) {
  auto order = RandomPermutation(1000, 3, StreamOf("order"));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order, RandomPermutation(1000, 3, StreamOf("order")));
  std::sort(order.begin(), order.end());
  for (std::uint64_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], i);
}

TEST(Random, ASequenceContinuesFromItsPosition) {
  RandomSequence first(5, 6);
  first();
  first();
  RandomSequence resumed(5, 6, first.position());
  EXPECT_EQ(first(), resumed());
}

}  // namespace
}  // namespace ferment
