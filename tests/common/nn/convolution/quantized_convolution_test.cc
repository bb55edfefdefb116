// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/quantized_convolution.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace ferment::nn {
namespace {

class QuantizedConvolutionTest : public ::testing::TestWithParam<QuantizedTiles> {
 protected:
  void SetUp() override {
    if (!HasQuantizedTiles(GetParam())) GTEST_SKIP() << "not on this processor";
    torch::manual_seed(3);
  }
};

std::string NameOf(QuantizedTiles tiles) {
  switch (tiles) {
    case QuantizedTiles::kAvx2:
      return "Avx2";
    case QuantizedTiles::kVnni:
      return "Vnni";
    case QuantizedTiles::kAmx:
      return "Amx";
  }
  return "";
}

torch::Tensor BytesFrom(const torch::Tensor& values) {  // [N, H, W, C]
  return NewBytes(values.size(0), values.size(1), values.size(2), values.size(3)).copy_(values);
}

torch::Tensor RandomBytes(std::int64_t n, std::int64_t side, std::int64_t channels) {
  return BytesFrom(torch::randint(0, kHighestByte + 1, {n, side, side, channels}, torch::kInt64));
}

/// What comes out, from sums of integers by plain loops of LibTorch in float64, which holds them exactly.
torch::Tensor Reference(const QuantizedConvolution& convolution, const QuantizedConvolutionSetup& setup,
                        const torch::Tensor& x, const torch::Tensor& residual) {
  const auto real = (x.permute({0, 3, 1, 2}).to(torch::kFloat64) - setup.input.zero);
  const auto sums =
      torch::conv2d(real, convolution.integers().to(torch::kFloat64), {}, setup.shape.stride, setup.shape.padding);
  const auto channels = [](const torch::Tensor& values) { return values.to(torch::kFloat64).view({1, -1, 1, 1}); };
  auto y = sums * channels(convolution.weight_scale()) * setup.input.scale + channels(setup.bias);
  if (setup.residual) {
    y += (residual.permute({0, 3, 1, 2}).to(torch::kFloat64) - setup.residual->zero) * setup.residual->scale;
  }
  if (setup.rectify) y = y.clamp_min(0);
  if (setup.slope.defined()) y = torch::where(y < 0, y * channels(setup.slope), y);
  if (setup.output) y = (y / setup.output->scale).round().add(setup.output->zero).clamp(0, kHighestByte);
  return y.permute({0, 2, 3, 1});
}

struct Case {
  std::int64_t in, out, side;
  ConvolutionShape shape;
};

/// Output channels: of each width of tile, in parts and together; pixels: not whole tiles.
const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {{3, 16, 21, {7, 2, 3}},  {16, 16, 9, {3, 1, 1}},  {16, 40, 9, {3, 2, 1}},
                                          {64, 10, 5, {1, 1, 0}},  {24, 32, 8, {1, 2, 0}},  {5, 6, 7, {3, 1, 1}},
                                          {27, 18, 4, {3, 1, 1}},  {200, 17, 4, {3, 1, 1}}, {8, 64, 5, {3, 1, 1}},
                                          {12, 112, 5, {1, 1, 0}}, {16, 101, 7, {3, 2, 1}}};
  return cases;
}

constexpr int kVariants = 6;

struct Problem {
  QuantizedConvolutionSetup setup;
  torch::Tensor x, residual;
};

Problem RandomProblem(const Case& c, int variant) {
  QuantizedConvolutionSetup setup{.weight = torch::randn({c.out, c.in, c.shape.kernel, c.shape.kernel}),
                                  .bias = torch::randn({c.out}),
                                  .shape = c.shape,
                                  .input = {0.05F, variant % 2 == 0 ? 0 : 40}};
  if (variant > 1) setup.residual = {0.1F, 7};
  if (variant == 3) setup.rectify = true;
  if (variant > 3) setup.slope = torch::rand({c.out});
  if (variant != 2) setup.output = {0.5F, variant == 5 ? 60 : 0};
  const std::int64_t side = (c.side + 2 * c.shape.padding - c.shape.kernel) / c.shape.stride + 1;
  return {setup, RandomBytes(3, c.side, c.in), setup.residual ? RandomBytes(3, side, c.out) : torch::Tensor()};
}

TEST_P(QuantizedConvolutionTest, IsTheConvolutionOfItsIntegersAndWhatFollowsIt) {
  for (const Case& c : Cases()) {
    for (int variant = 0; variant < kVariants; ++variant) {
      auto [setup, x, residual] = RandomProblem(c, variant);
      setup.tiles = GetParam();
      const QuantizedConvolution convolution(setup);
      const auto y = convolution.Run(x, residual).to(torch::kFloat64);
      const auto expected = Reference(convolution, setup, x, residual);
      const auto off = (y - expected).abs();
      const std::string what = "in " + std::to_string(c.in) + " variant " + std::to_string(variant);
      if (setup.output) {
        // The unit of the last place in float32 may tip a half.
        EXPECT_LE(off.max().item<double>(), 1) << what;
        EXPECT_LE(off.mean().item<double>(), 1e-3) << what;
      } else {
        EXPECT_LE(off.max().item<double>(), 1e-5 * expected.abs().max().item<double>()) << what;
      }
    }
  }
}

TEST_P(QuantizedConvolutionTest, NoSumOfHighestBytesLeavesSixteenBits) {
  // The largest sums that a lane of 16 bits can get: all weights of one sign, all bytes the highest.
  for (const double sign : {1.0, -1.0}) {
    for (const std::int64_t in : {3, 16, 64, 100}) {
      auto weight = torch::full({16, in, 3, 3}, sign);
      weight[1].mul_(torch::rand({in, 3, 3}));
      weight[2].fill_(0)[0][1][1] = sign;  // one weight alone may have all eight bits
      const QuantizedConvolutionSetup setup{
          .weight = weight, .bias = torch::zeros({16}), .shape = {3, 1, 1}, .input = {1, 0}, .tiles = GetParam()};
      const QuantizedConvolution convolution(setup);
      const auto x = BytesFrom(torch::full({1, 4, 4, in}, kHighestByte));
      const auto expected = Reference(convolution, setup, x, {});
      const auto off = ((convolution.Run(x).to(torch::kFloat64) - expected).abs() / expected.abs().max()).max();
      EXPECT_LE(off.item<double>(), 1e-6) << "in " << in << " sign " << sign;
      EXPECT_EQ(convolution.integers()[2].abs().max().item<int>(), 127);
      EXPECT_LT(convolution.integers()[0].abs().max().item<int>(), 127);
    }
  }
}

TEST_P(QuantizedConvolutionTest, WeightsAreRoundedToTheNearest) {
  const auto weight = torch::randn({20, 32, 3, 3});
  const QuantizedConvolution convolution({.weight = weight, .bias = torch::zeros({20}), .shape = {3, 1, 1}});
  const auto again = convolution.integers().to(torch::kFloat32) * convolution.weight_scale().view({-1, 1, 1, 1});
  const auto off = (again - weight).abs() / convolution.weight_scale().view({-1, 1, 1, 1});
  EXPECT_LE(off.max().item<double>(), 0.5001);
  // Normal weights lose no more than half a bit to the sums.
  EXPECT_GE(convolution.integers().abs().flatten(1).to(torch::kInt64).amax(1).min().item<int>(), 64);
}

TEST_P(QuantizedConvolutionTest, CutsOffWhatIsFarOutsideTheRange) {
  const QuantizedConvolution convolution({.weight = torch::ones({16, 16, 1, 1}),
                                          .bias = torch::cat({torch::full({8}, 1e20), torch::full({8}, -1e20)}),
                                          .shape = {1, 1, 0},
                                          .output = Quantization{1e-10F, 5},
                                          .tiles = GetParam()});
  const auto y = convolution.Run(RandomBytes(1, 2, 16));
  EXPECT_TRUE((y.slice(3, 0, 8) == kHighestByte).all().item<bool>());
  EXPECT_TRUE((y.slice(3, 8, 16) == 0).all().item<bool>());
}

TEST_P(QuantizedConvolutionTest, QuantizeRoundsToTheNearestAndCutsOff) {
  const auto x = torch::tensor({-1e9F, -3.0F, -0.26F, 0.0F, 0.24F, 0.26F, 58.4F, 58.6F, 1e9F});
  const auto bytes = Quantize(x.view({1, 1, 1, -1}), {0.5F, 10}).to(torch::kInt64).flatten();
  const std::vector<std::int64_t> expected = {0, 4, 9, 10, 10, 11, 127, 127, 127};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(bytes[static_cast<std::int64_t>(i)].item<std::int64_t>(), expected[i]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, QuantizedConvolutionTest,
                         ::testing::Values(QuantizedTiles::kAvx2, QuantizedTiles::kVnni, QuantizedTiles::kAmx),
                         [](const auto& tiles) { return NameOf(tiles.param); });

class WiderTilesTest : public QuantizedConvolutionTest {};

TEST_P(WiderTilesTest, GiveTheSameAsAvx2) {
  torch::manual_seed(5);
  for (const Case& c : Cases()) {
    for (int variant = 0; variant < kVariants; ++variant) {
      auto [setup, x, residual] = RandomProblem(c, variant);
      setup.tiles = QuantizedTiles::kAvx2;
      const auto expected = QuantizedConvolution(setup).Run(x, residual);
      setup.tiles = GetParam();
      EXPECT_TRUE(torch::equal(QuantizedConvolution(setup).Run(x, residual), expected))
          << "in " << c.in << " out " << c.out << " variant " << variant;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, WiderTilesTest, ::testing::Values(QuantizedTiles::kVnni, QuantizedTiles::kAmx),
                         [](const auto& tiles) { return NameOf(tiles.param); });

}  // namespace
}  // namespace ferment::nn
