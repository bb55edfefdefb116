// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/convolution_passes.h"

#include <ATen/Parallel.h>
#include <ATen/ops/convolution_backward.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <tuple>
#include <vector>

#include "common/nn/kernels/channel_moments.h"

namespace ferment::nn {
namespace {

struct Case {
  std::int64_t images, in, out, side;
  ConvolutionShape shape;
};

/// Sides that a stride does not divide; one block of pixels and many; channels in one part and in several.
const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {{2, 16, 32, 5, {1, 1, 0}},     {3, 32, 64, 9, {3, 1, 1}},
                                          {2, 48, 16, 7, {3, 2, 1}},     {1, 16, 16, 1, {3, 1, 1}},
                                          {2, 64, 128, 9, {1, 2, 0}},    {9, 16, 48, 14, {5, 1, 2}},
                                          {1, 16, 208, 4, {3, 1, 0}},    {2, 512, 272, 4, {3, 1, 1}},
                                          {20, 256, 160, 10, {1, 1, 0}}, {2, 16, 16, 6, {2, 1, 1}}};
  return cases;
}

struct Problem {
  torch::Tensor x, weight, dy;
};

torch::Tensor Drawn(std::int64_t images, std::int64_t channels, std::int64_t side) {
  return torch::randn({images, channels, side, side}).contiguous(torch::MemoryFormat::ChannelsLast);
}

Problem Draw(const Case& c) {
  const std::int64_t reached = (c.side + 2 * c.shape.padding - c.shape.kernel) / c.shape.stride + 1;
  return {Drawn(c.images, c.in, c.side),
          torch::randn({c.out, c.in, c.shape.kernel, c.shape.kernel}).contiguous(torch::MemoryFormat::ChannelsLast),
          Drawn(c.images, c.out, reached)};
}

double Off(const torch::Tensor& got, const torch::Tensor& expected) {
  return ((got - expected).norm() / expected.norm()).item<double>();
}

std::string Named(const Case& c) {
  return std::to_string(c.in) + " to " + std::to_string(c.out) + " kernel=" + std::to_string(c.shape.kernel) +
         " stride=" + std::to_string(c.shape.stride) + " side=" + std::to_string(c.side);
}

class ConvolutionPasses : public ::testing::TestWithParam<Vectors> {
 protected:
  void SetUp() override {
    if (!HasVectors(GetParam())) GTEST_SKIP() << "not on this processor";
    torch::manual_seed(3);
  }
  ~ConvolutionPasses() override { at::set_num_threads(threads_); }

 private:
  int threads_ = at::get_num_threads();
};

TEST_P(ConvolutionPasses, AreThoseOfDoublePrecision) {
  for (const Case& c : Cases()) {
    const Problem drawn = Draw(c);
    ASSERT_TRUE(HasTilePasses(drawn.x, drawn.weight, c.shape));
    const torch::Tensor x = drawn.x.to(torch::kFloat64), weight = drawn.weight.to(torch::kFloat64);
    const ForwardPass pass = ConvolveForward(drawn.x, drawn.weight, c.shape, /*with_moments=*/false, GetParam());
    const torch::Tensor y = torch::conv2d(x, weight, {}, c.shape.stride, c.shape.padding);
    ASSERT_EQ(pass.y.sizes(), y.sizes());
    EXPECT_TRUE(pass.y.is_contiguous(torch::MemoryFormat::ChannelsLast));
    EXPECT_FALSE(pass.moments.defined());
    EXPECT_LT(Off(pass.y, y), 2e-6) << Named(c);
    if (!HasConvolveBackward(c.shape)) continue;
    const std::vector<std::int64_t> stride(2, c.shape.stride), padding(2, c.shape.padding);
    const torch::Tensor dx =
        std::get<0>(at::convolution_backward(drawn.dy.to(torch::kFloat64), x, weight, std::nullopt, stride, padding,
                                             {1, 1}, false, {0, 0}, 1, {true, false, false}));
    const torch::Tensor got = ConvolveBackward(drawn.dy, x.sizes(), drawn.weight, c.shape, GetParam());
    ASSERT_EQ(got.sizes(), dx.sizes());
    EXPECT_TRUE(got.is_contiguous(torch::MemoryFormat::ChannelsLast));
    EXPECT_LT(Off(got, dx), 2e-6) << Named(c);
  }
}

TEST_P(ConvolutionPasses, TakeTheMomentsOfWhatTheyMake) {
  for (const Case& c : Cases()) {
    const Problem drawn = Draw(c);
    const ForwardPass pass = ConvolveForward(drawn.x, drawn.weight, c.shape, /*with_moments=*/true, GetParam());
    ASSERT_EQ(pass.moments.sizes(), (std::vector<std::int64_t>{2, c.out}));
    const auto [variance, mean] = torch::var_mean(pass.y.to(torch::kFloat64), {0, 2, 3}, c10::Scalar(0), false);
    EXPECT_TRUE(torch::allclose(pass.moments[0], mean, 1e-5, 1e-5)) << Named(c);
    EXPECT_TRUE(torch::allclose(pass.moments[1], variance, 1e-5, 1e-6)) << Named(c);
  }
}

TEST_P(ConvolutionPasses, GiveTheSameBitsOnAnyThreadsAndWithAnyVectors) {
  for (const Case& c : Cases()) {
    const Problem drawn = Draw(c);
    const auto pass = [&](int threads, Vectors vectors) {
      at::set_num_threads(threads);
      return ConvolveForward(drawn.x, drawn.weight, c.shape, true, vectors);
    };
    const ForwardPass alone = pass(1, Vectors::kAvx2), together = pass(3, GetParam());
    EXPECT_TRUE(torch::equal(alone.y, together.y)) << Named(c);
    EXPECT_TRUE(torch::equal(alone.moments, together.moments)) << Named(c);
    if (!HasConvolveBackward(c.shape)) continue;
    const auto back = [&](int threads, Vectors vectors) {
      at::set_num_threads(threads);
      return ConvolveBackward(drawn.dy, drawn.x.sizes(), drawn.weight, c.shape, vectors);
    };
    EXPECT_TRUE(torch::equal(back(1, Vectors::kAvx2), back(3, GetParam()))) << Named(c);
  }
}

INSTANTIATE_TEST_SUITE_P(Vectors, ConvolutionPasses, ::testing::Values(Vectors::kAvx2, Vectors::kAvx512),
                         [](const auto& vectors) { return vectors.param == Vectors::kAvx2 ? "Avx2" : "Avx512"; });

TEST(TilePasses, LeaveToOthersWhatTheyCannotDo) {
  const torch::Tensor weight = torch::randn({32, 16, 3, 3});
  const auto has = [](const torch::Tensor& x, const torch::Tensor& by, std::int64_t padding = 1) {
    return HasTilePasses(x, by, {3, 1, padding});
  };
  EXPECT_EQ(has(Drawn(1, 16, 8), weight), HasVectors(Vectors::kAvx2));
  EXPECT_FALSE(has(Drawn(1, 3, 8), torch::randn({32, 3, 3, 3})));
  EXPECT_FALSE(has(Drawn(1, 64, 8), weight));
  EXPECT_FALSE(has(Drawn(1, 16, 8), torch::randn({24, 16, 3, 3})));
  EXPECT_FALSE(has(Drawn(1, 16, 2), weight, /*padding=*/0));
  EXPECT_FALSE(has(torch::randn({1, 16, 8, 8}), weight));
  EXPECT_FALSE(has(Drawn(1, 16, 8).to(torch::kFloat64), weight.to(torch::kFloat64)));
  EXPECT_FALSE(has(Drawn(1, 16, 8).to(torch::kBFloat16), weight));
  EXPECT_FALSE(has(Drawn(0, 16, 8), weight));
  EXPECT_TRUE(HasConvolveBackward({3, 1, 1}));
  EXPECT_TRUE(HasConvolveBackward({1, 2, 0}));
  EXPECT_FALSE(HasConvolveBackward({3, 2, 1}));
  EXPECT_FALSE(HasConvolveBackward({1, 1, 1}));
}

}  // namespace
}  // namespace ferment::nn
