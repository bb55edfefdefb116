// SPDX-License-Identifier: Apache-2.0
#include "worker/train/losses.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ferment::worker {
namespace {

const auto kLogits = [] { return torch::tensor({{1.0, 2.0, -1.0}, {0.5, 0.5, 0.0}}, torch::kFloat64); };

TEST(Losses, SmoothTheTargetOverAllClasses) {
  const torch::Tensor labels = torch::tensor({1, 2}, torch::kInt64);
  const torch::Tensor log_p = torch::log_softmax(kLogits(), 1);
  const torch::Tensor expected = 0.9 * -log_p.gather(1, labels.unsqueeze(1)).squeeze(1) + 0.1 / 3 * -log_p.sum(1);
  EXPECT_TRUE(torch::allclose(CrossEntropyPerSample(kLogits(), labels, 0.1), expected));
  const torch::Tensor weights = torch::tensor({0.0, 1.0}, torch::kFloat64);
  EXPECT_NEAR(CrossEntropySum(kLogits(), labels, 0.1, weights).item<double>(), expected[1].item<double>(), 1e-12);
}

TEST(Losses, NameTheLowestOfEqualClasses) {
  const PseudoLabels labels = LabelWeakViews(kLogits(), 0.5, {0.6, 0.6, 0.6});
  EXPECT_EQ(labels.label[0].item<std::int64_t>(), 1);
  EXPECT_EQ(labels.label[1].item<std::int64_t>(), 0);
  EXPECT_EQ(labels.mask[0].item<double>(), 1);
  EXPECT_EQ(labels.mask[1].item<double>(), 0);
  EXPECT_NEAR(labels.confidence[0].item<double>(), torch::softmax(kLogits() / 0.5, 1)[0][1].item<double>(), 1e-15);
}

TEST(Losses, MaskEachLabelByItsOwnThresholdAndCountByTheFixedOne) {
  const torch::Tensor logits = torch::tensor({{2.0, 0.0}, {0.1, 0.0}, {0.0, 0.1}, {0.0, 1.0}}, torch::kFloat64);
  const PseudoLabels labels = LabelWeakViews(logits, 1, {0.95, 0.52});
  EXPECT_TRUE(torch::equal(labels.mask, torch::tensor({0.0, 0.0, 1.0, 1.0}, torch::kFloat64)));
  EXPECT_TRUE(torch::equal(CountLabels(labels, 0.6), torch::tensor({{2.0, 2.0}, {1.0, 1.0}}, torch::kFloat64)));
}

TEST(Losses, NameAClassThatExistsEvenForLogitsThatAreNoNumbers) {
  torch::Tensor logits = kLogits();
  logits[0][1] = std::numeric_limits<double>::quiet_NaN();
  logits[1][2] = std::numeric_limits<double>::infinity();
  const PseudoLabels labels = LabelWeakViews(logits, 0.5, {0, 0, 0});
  EXPECT_LT(labels.label.max().item<std::int64_t>(), 3);
  EXPECT_GE(labels.label.min().item<std::int64_t>(), 0);
  EXPECT_EQ(labels.mask.sum().item<double>(), 0);
  EXPECT_TRUE(std::isnan(ConsistencySum(labels.probabilities, labels.mask, logits).item<double>()));
}

// Section 10, check 4: the soft self-target that public code uses feeds nothing back, which is why ours is hard.
TEST(Losses, Check4TheSoftSelfTargetHasNoGradient) {
  torch::Tensor logits = kLogits().requires_grad_();
  ConsistencySum(torch::softmax(logits, 1).detach(), torch::ones({2}, torch::kFloat64), logits).backward();
  EXPECT_LT(logits.grad().abs().max().item<double>(), 1e-15);
  torch::Tensor hard = kLogits().requires_grad_();
  CrossEntropySum(hard, LabelWeakViews(hard, 1, {0, 0, 0}).label, 0).backward();
  EXPECT_GT(hard.grad().abs().max().item<double>(), 0.1);
}

}  // namespace
}  // namespace ferment::worker
