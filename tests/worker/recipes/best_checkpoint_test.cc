// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/best_checkpoint.h"

#include <gtest/gtest.h>

namespace ferment::worker {
namespace {

/// Of two classes, with `right` of ten labels of each named rightly.
report::ConfusionMatrix Confusion(int right) {
  report::ConfusionMatrix confusion(2);
  for (int label = 0; label < 2; ++label) {
    for (int i = 0; i < 10; ++i) confusion.Add(label, i < right ? label : 1 - label);
  }
  return confusion;
}

NamedTensors Weights(float value) { return {{"w", torch::full({2}, value)}}; }

TEST(BestCheckpoint, KeepsTheHighestAndOfEqualsTheFirst) {
  BestCheckpoint best;
  EXPECT_FALSE(best.kept());
  best.Offer(Weights(1), 10, Confusion(0));
  ASSERT_TRUE(best.kept()) << "0 is better than nothing";
  best.Offer(Weights(2), 20, Confusion(8));
  best.Offer(Weights(3), 30, Confusion(8));
  best.Offer(Weights(4), 40, Confusion(7));
  EXPECT_EQ(best.kept()->steps, 20U);
  EXPECT_DOUBLE_EQ(best.kept()->macro_f1, 0.8);
  EXPECT_DOUBLE_EQ(best.kept()->accuracy, 0.8);
  EXPECT_TRUE(torch::equal(best.kept()->state[0].second, Weights(2)[0].second));
}

TEST(BestCheckpoint, KeepsACopy) {
  NamedTensors weights = Weights(1);
  BestCheckpoint best;
  best.Offer(weights, 1, Confusion(5));
  weights[0].second.zero_();
  EXPECT_TRUE(torch::equal(best.kept()->state[0].second, Weights(1)[0].second));
}

TEST(BestCheckpoint, GoesThroughAJobsCheckpoint) {
  BestCheckpoint best;
  RecipeState state;
  best.Save("s", state);
  EXPECT_TRUE(state.tensors.empty());
  EXPECT_TRUE(state.scalars.empty());
  best.Offer(Weights(3), 7, Confusion(6));
  ASSERT_TRUE(best.Restore("s", state).ok());
  EXPECT_FALSE(best.kept()) << "at that checkpoint nothing had been kept";

  best.Offer(Weights(3), 7, Confusion(6));
  best.Save("s", state);
  BestCheckpoint again;
  ASSERT_TRUE(again.Restore("s", state).ok());
  EXPECT_EQ(again.kept()->steps, 7U);
  EXPECT_EQ(again.kept()->macro_f1, best.kept()->macro_f1);
  EXPECT_EQ(again.kept()->accuracy, best.kept()->accuracy);
  EXPECT_TRUE(torch::equal(again.kept()->state[0].second, Weights(3)[0].second));
}

TEST(BestCheckpoint, RefusesHalfOfIt) {
  BestCheckpoint best;
  RecipeState whole;
  best.Offer(Weights(3), 7, Confusion(6));
  best.Save("s", whole);
  RecipeState without_tensors = whole;
  without_tensors.tensors.clear();
  RecipeState without_scalars = whole;
  without_scalars.scalars.clear();
  for (const RecipeState& half : {without_tensors, without_scalars}) {
    const Status refused = best.Restore("s", half);
    EXPECT_EQ(refused.exit_code(), exit_code::kUnreadableState) << refused.ToString();
    EXPECT_FALSE(best.kept());
  }
}

}  // namespace
}  // namespace ferment::worker
