// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/weight_gradient.h"

#include <ATen/Parallel.h>
#include <ATen/ops/convolution_backward.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

namespace ferment::nn {
namespace {

struct Case {
  std::int64_t images, in, out, side;
  ConvolutionShape shape;
};

torch::Tensor Faces(std::int64_t images, std::int64_t channels, std::int64_t side) {
  return torch::randn({images, channels, side, side}).contiguous(torch::MemoryFormat::ChannelsLast);
}

/// Sides that a stride does not divide, channel counts that a tile does not, fewer and more pixels than a panel holds.
const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {2, 16, 6, 5, {1, 1, 0}},   {3, 32, 64, 9, {3, 1, 1}}, {2, 48, 20, 7, {3, 2, 1}}, {1, 16, 1, 1, {1, 1, 0}},
      {2, 64, 130, 8, {1, 2, 0}}, {5, 16, 7, 14, {3, 1, 1}}, {1, 16, 8, 4, {7, 2, 3}},  {4, 16, 3, 17, {3, 2, 1}}};
  return cases;
}

class WeightGradientTest : public ::testing::TestWithParam<Vectors> {
 protected:
  void SetUp() override {
    if (!HasVectors(GetParam())) GTEST_SKIP() << "not on this processor";
    torch::manual_seed(3);
  }
};

TEST_P(WeightGradientTest, IsThatOfDoublePrecisionForEveryShapeOfKernel) {
  for (const Case& c : Cases()) {
    const torch::Tensor x = Faces(c.images, c.in, c.side);
    const torch::Tensor w = torch::randn({c.out, c.in, c.shape.kernel, c.shape.kernel});
    const std::vector<std::int64_t> stride(2, c.shape.stride), padding(2, c.shape.padding);
    const torch::Tensor y = torch::conv2d(x, w, {}, stride, padding);
    const torch::Tensor dy = Faces(c.images, c.out, y.size(2));
    const torch::Tensor expected = std::get<1>(
        at::convolution_backward(dy.to(torch::kFloat64), x.to(torch::kFloat64), w.to(torch::kFloat64), std::nullopt,
                                 stride, padding, {1, 1}, false, {0, 0}, 1, {false, true, false}));
    const torch::Tensor got = WeightGradient(x, dy, c.shape, GetParam());
    ASSERT_EQ(got.sizes(), expected.sizes());
    EXPECT_LT((got - expected).norm().item<double>(), 2e-6 * expected.norm().item<double>())
        << c.in << " to " << c.out << " kernel=" << c.shape.kernel << " side=" << c.side;
  }
}

TEST_P(WeightGradientTest, GivesTheSameBitsOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const torch::Tensor x = Faces(4, 32, 14);
  for (const std::int64_t out : {8, 200}) {
    const torch::Tensor dy = Faces(4, out, 14);
    at::set_num_threads(1);
    const torch::Tensor alone = WeightGradient(x, dy, {3, 1, 1}, GetParam());
    at::set_num_threads(3);
    EXPECT_TRUE(torch::equal(WeightGradient(x, dy, {3, 1, 1}, GetParam()), alone)) << out;
  }
  at::set_num_threads(before);
}

INSTANTIATE_TEST_SUITE_P(Vectors, WeightGradientTest, ::testing::Values(Vectors::kAvx2, Vectors::kAvx512),
                         [](const auto& vectors) { return vectors.param == Vectors::kAvx2 ? "Avx2" : "Avx512"; });

TEST(WeightGradient, HasTheSameBitsWithAnyVectors) {
  if (!HasVectors(Vectors::kAvx512)) GTEST_SKIP() << "this processor has vectors of one kind at most";
  torch::manual_seed(6);
  for (const Case& c : Cases()) {
    const torch::Tensor x = Faces(c.images, c.in, c.side);
    const torch::Tensor dy =
        Faces(c.images, c.out, (c.side + 2 * c.shape.padding - c.shape.kernel) / c.shape.stride + 1);
    EXPECT_TRUE(
        torch::equal(WeightGradient(x, dy, c.shape, Vectors::kAvx2), WeightGradient(x, dy, c.shape, Vectors::kAvx512)))
        << c.in << " to " << c.out << " kernel=" << c.shape.kernel;
  }
}

TEST(WeightGradient, IsTakenWhereItIsFaster) {
  EXPECT_EQ(HasWeightGradient(Faces(64, 16, 8), Faces(64, 16, 8)), HasVectors(Vectors::kAvx2));
  EXPECT_EQ(HasWeightGradient(Faces(65, 16, 8), Faces(65, 16, 8)),
            HasVectors(Vectors::kAvx2) && !HasVectors(Vectors::kAvx512));
}

TEST(WeightGradient, LeavesToOthersWhatItCannotDo) {
  const torch::Tensor dy = Faces(1, 16, 8);
  EXPECT_FALSE(HasWeightGradient(Faces(1, 3, 8), dy));
  EXPECT_FALSE(HasWeightGradient(torch::randn({1, 16, 8, 8}), dy));
  EXPECT_FALSE(HasWeightGradient(Faces(1, 16, 8).to(torch::kFloat64), dy));
  EXPECT_FALSE(HasWeightGradient(Faces(0, 16, 8), Faces(0, 16, 8)));
}

}  // namespace
}  // namespace ferment::nn
