// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/fr_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace ferment::dataset {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Keys 1..9: 1-6 labelled 0, 7 labelled 2, 8 abstained, 9 quarantined; class 1 has none.
LabelSet NineRecords() {
  LabelSet labels;
  labels.classes = {"Neutral", "Anger", "Fear"};
  labels.key = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  labels.label = {0, 0, 0, 0, 0, 0, 2, 1, kNoLabel};
  labels.status.assign(7, LabelStatus::kLabelled);
  labels.status.push_back(LabelStatus::kAbstained);
  labels.status.push_back(LabelStatus::kQuarantined);
  labels.confidence_half.assign(9, 0);
  labels.probabilities_half.assign(27, 0);
  return labels;
}

const std::vector<std::uint64_t> kKeys = {1, 2, 3, 4, 5, 6, 7, 8, 9};

std::map<std::uint64_t, int> Drawn(const FrSampler& sampler, std::uint64_t count) {
  std::map<std::uint64_t, int> drawn;
  for (std::uint64_t p = 0; p < count; ++p) ++drawn[sampler.At(p).key];
  return drawn;
}

TEST(FrSampler, DrawsEveryRecordUniformlyWithoutLabelSets) {
  const auto sampler = FrSampler::Create({.sampling = FrSampling::kUniform}, kKeys, {}, "");
  ASSERT_TRUE(sampler);
  const auto drawn = Drawn(*sampler, 18);
  EXPECT_EQ(drawn.size(), 9u);
  for (const auto& [key, times] : drawn) EXPECT_EQ(times, 2) << key;
  EXPECT_FALSE(sampler->At(0).label.has_value());
}

TEST(FrSampler, LeavesQuarantinedRecordsOutOfUniform) {
  const std::vector<LabelSet> sets = {NineRecords()};
  const auto sampler = FrSampler::Create({.sampling = FrSampling::kUniform}, kKeys, sets, "d");
  ASSERT_TRUE(sampler);
  EXPECT_EQ(sampler->size(), 8u);
  EXPECT_EQ(Drawn(*sampler, 100).count(9), 0u);
}

TEST(FrSampler, DrawsLabelledRecordsOnlyWhenAccepted) {
  const std::vector<LabelSet> sets = {NineRecords()};
  for (const auto& options : {FrSampler::Options{.sampling = FrSampling::kAccepted},
                              FrSampler::Options{.sampling = FrSampling::kUniform, .labels_required = true}}) {
    const auto sampler = FrSampler::Create(options, kKeys, sets, "d");
    ASSERT_TRUE(sampler);
    EXPECT_EQ(sampler->size(), 7u);
    for (std::uint64_t p = 0; p < 50; ++p) EXPECT_EQ(sampler->At(p).label, sampler->At(p).key == 7 ? 2 : 0);
  }
}

TEST(FrSampler, BalancesThePseudoClassesThatThereAre) {
  const std::vector<LabelSet> sets = {NineRecords()};
  const auto sampler = FrSampler::Create({.sampling = FrSampling::kClassBalanced}, kKeys, sets, "d");
  ASSERT_TRUE(sampler);
  EXPECT_THAT(sampler->empty_classes(), ElementsAre("Anger"));
  std::map<int, int> seen;
  for (std::uint64_t p = 0; p < 200; ++p) ++seen[*sampler->At(p).label];
  EXPECT_THAT(seen, ElementsAre(testing::Pair(0, 100), testing::Pair(2, 100)));
}

TEST(FrSampler, OrderDependsOnSeedAndLabelSets) {
  const std::vector<LabelSet> sets = {NineRecords()};
  const auto make = [&](std::uint64_t seed, std::string_view digest) {
    return *FrSampler::Create({.sampling = FrSampling::kAccepted, .seed = seed}, kKeys, sets, digest);
  };
  const auto order = [](const FrSampler& sampler) {
    std::vector<std::uint64_t> keys;
    for (std::uint64_t p = 0; p < 40; ++p) keys.push_back(sampler.At(p).key);
    return keys;
  };
  EXPECT_EQ(order(make(1, "d")), order(make(1, "d")));
  EXPECT_NE(order(make(1, "d")), order(make(2, "d")));
  EXPECT_NE(order(make(1, "d")), order(make(1, "e")));
}

TEST(FrSampler, SaysThatThereAreNoLabelSets) {
  const auto sampler = FrSampler::Create({.sampling = FrSampling::kClassBalanced}, kKeys, {}, "");
  ASSERT_FALSE(sampler);
  EXPECT_EQ(ProcessExitCode(sampler.error()), exit_code::kBadData);
  EXPECT_THAT(std::string(sampler.error().message()), HasSubstr("no label set"));
}

TEST(FrSampler, SaysThatNothingWasLabelled) {
  std::vector<LabelSet> sets = {NineRecords()};
  for (auto& status : sets[0].status) status = LabelStatus::kAbstained;
  const auto sampler = FrSampler::Create({.sampling = FrSampling::kAccepted}, kKeys, sets, "d");
  ASSERT_FALSE(sampler);
  EXPECT_EQ(ProcessExitCode(sampler.error()), exit_code::kBadData);
  EXPECT_THAT(std::string(sampler.error().message()), HasSubstr("labelled=0"));
  EXPECT_FALSE(FrSampler::Create({.sampling = FrSampling::kUniform}, {}, {}, ""));
}

TEST(FrSampling, IsParsedFromTheSpec) {
  EXPECT_EQ(*ParseFrSampling("accepted"), FrSampling::kAccepted);
  EXPECT_EQ(ProcessExitCode(ParseFrSampling("sorted").error()), exit_code::kBadSpec);
}

}  // namespace
}  // namespace ferment::dataset
