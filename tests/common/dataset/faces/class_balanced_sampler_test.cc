// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/class_balanced_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace ferment::dataset {
namespace {

const std::vector<std::string> kNames = {"Neutral", "Anger", "Fear"};
const std::vector<int> kLabels = {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2};

TEST(ClassBalancedSampler, GivesEveryClassEquallyOftenInEveryBatch) {
  const auto sampler = ClassBalancedSampler::Create(kLabels, kNames, 1);
  ASSERT_TRUE(sampler);
  for (std::uint64_t batch = 0; batch < 20; ++batch) {
    std::map<int, int> seen;
    for (std::uint64_t i = 0; i < 12; ++i) ++seen[kLabels[sampler->At(batch * 12 + i).index]];
    EXPECT_THAT(seen, testing::ElementsAre(testing::Pair(0, 4), testing::Pair(1, 4), testing::Pair(2, 4)));
  }
}

TEST(ClassBalancedSampler, ShowsAllFacesOfAClassBeforeOneAgain) {
  const auto sampler = ClassBalancedSampler::Create(kLabels, kNames, 1);
  ASSERT_TRUE(sampler);
  std::map<std::uint64_t, std::vector<std::size_t>> neutral_by_epoch;
  for (std::uint64_t position = 0; position < 3 * 7 * 4; ++position) {
    const FaceDraw draw = sampler->At(position);
    if (kLabels[draw.index] == 0) neutral_by_epoch[draw.epoch].push_back(draw.index);
  }
  ASSERT_EQ(neutral_by_epoch.size(), 4u);
  for (auto& [epoch, faces] : neutral_by_epoch)
    EXPECT_THAT(faces, testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5, 6)) << "epoch=" << epoch;
  EXPECT_NE(neutral_by_epoch[0], neutral_by_epoch[1]);
}

TEST(ClassBalancedSampler, DependsOnSeedAndPositionAlone) {
  const auto one = ClassBalancedSampler::Create(kLabels, kNames, 5);
  const auto same = ClassBalancedSampler::Create(kLabels, kNames, 5);
  const auto other = ClassBalancedSampler::Create(kLabels, kNames, 6);
  ASSERT_TRUE(one && same && other);
  int differing = 0;
  for (std::uint64_t position = 300; position-- > 0;) {
    EXPECT_EQ(one->At(position), same->At(position));
    differing += !(one->At(position) == other->At(position));
  }
  EXPECT_GT(differing, 50);
}

TEST(ClassBalancedSampler, NamesTheClassesWithoutAFace) {
  const auto sampler = ClassBalancedSampler::Create(std::vector<int>{1, 1}, kNames, 1);
  ASSERT_FALSE(sampler);
  EXPECT_EQ(ProcessExitCode(sampler.error()), exit_code::kBadData);
  EXPECT_THAT(std::string(sampler.error().message()), testing::HasSubstr("Neutral, Fear"));
}

}  // namespace
}  // namespace ferment::dataset
