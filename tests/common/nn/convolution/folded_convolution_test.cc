// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/folded_convolution.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <limits>

#include "common/nn/convolution/convolution_tiles.h"

namespace ferment::nn {
namespace {

struct Case {
  std::int64_t in, out, side;
  ConvolutionShape shape;
};

std::vector<ConvolutionEngine> Engines() {
  std::vector<ConvolutionEngine> engines = {ConvolutionEngine::kOneDnn};
  if (ConvolutionTiles::SuitThisProcessor()) engines.push_back(ConvolutionEngine::kTiles);
  return engines;
}

/// Of one convolution and all that can follow it, in float64.
torch::Tensor Expected(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                       const ConvolutionShape& shape, const Epilogue& epilogue) {
  auto y = torch::conv2d(x.to(torch::kFloat64), weight.to(torch::kFloat64), bias.to(torch::kFloat64), shape.stride,
                         shape.padding);
  if (epilogue.residual.defined()) y += epilogue.residual;
  if (epilogue.rectify) y = y.relu();
  return epilogue.slope.defined() ? torch::prelu(y, epilogue.slope.to(torch::kFloat64)) : y;
}

/// Output channels: of each width of tile, in parts and together; pixels: not whole tiles.
const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {{3, 16, 21, {7, 2, 3}}, {16, 16, 9, {3, 1, 1}},  {16, 40, 9, {3, 2, 1}},
                                          {64, 10, 5, {1, 1, 0}}, {24, 32, 8, {1, 2, 0}},  {5, 6, 7, {3, 1, 1}},
                                          {8, 64, 5, {3, 1, 1}},  {12, 112, 5, {1, 1, 0}}, {16, 101, 7, {3, 2, 1}},
                                          {200, 17, 4, {3, 1, 1}}};
  return cases;
}

struct Problem {
  torch::Tensor x, weight, bias;
  std::vector<Epilogue> epilogues;
};

Problem RandomProblem(const Case& c) {
  const auto faces = [](std::int64_t channels, std::int64_t side) {
    return torch::randn({3, channels, side, side}).contiguous(torch::MemoryFormat::ChannelsLast);
  };
  const auto residual = faces(c.out, (c.side + 2 * c.shape.padding - c.shape.kernel) / c.shape.stride + 1);
  return {faces(c.in, c.side),
          torch::randn({c.out, c.in, c.shape.kernel, c.shape.kernel}),
          torch::randn({c.out}),
          {{}, {{}, true, {}}, {residual, true, {}}, {residual, false, {}}, {{}, false, torch::rand({c.out})}}};
}

TEST(FoldedConvolution, IsTheConvolutionAndWhatFollowsIt) {
  torch::manual_seed(5);
  for (const ConvolutionEngine engine : Engines()) {
    for (const Case& c : Cases()) {
      const auto [x, weight, bias, epilogues] = RandomProblem(c);
      const FoldedConvolution convolution(weight, bias, c.shape, engine);
      for (const Epilogue& epilogue : epilogues) {
        const auto expected = Expected(x, weight, bias, c.shape, epilogue);
        const auto error = (convolution.Run(x, epilogue) - expected).abs().max().item<double>();
        EXPECT_LE(error, 1e-5 * expected.abs().max().item<double>())
            << "engine " << static_cast<int>(engine) << " in " << c.in << " out " << c.out;
      }
    }
  }
}

TEST(FoldedConvolution, TilesGiveTheSameBitsWithAnyVectors) {
  if (!HasVectors(Vectors::kAvx512)) GTEST_SKIP() << "this processor has vectors of one kind at most";
  torch::manual_seed(6);
  for (const Case& c : Cases()) {
    const auto [x, weight, bias, epilogues] = RandomProblem(c);
    const ConvolutionTiles one(weight, bias, c.shape, Vectors::kAvx2);
    const ConvolutionTiles other(weight, bias, c.shape, Vectors::kAvx512);
    for (const Epilogue& epilogue : epilogues) {
      EXPECT_TRUE(torch::equal(one.Run(x, epilogue), other.Run(x, epilogue))) << "in " << c.in << " out " << c.out;
    }
  }
}

TEST(FoldedConvolution, TilesGiveAFaceTheSameBitsInAnyCompany) {
  if (!ConvolutionTiles::SuitThisProcessor()) GTEST_SKIP() << "the tiles are for AVX2 and AVX-512";
  const auto x = torch::randn({7, 16, 5, 5}).contiguous(torch::MemoryFormat::ChannelsLast);
  const FoldedConvolution convolution(torch::randn({20, 16, 3, 3}), torch::randn({20}), {3, 1, 1},
                                      ConvolutionEngine::kTiles);
  const auto all = convolution.Run(x, {});
  for (std::int64_t face = 0; face < 7; ++face) {
    EXPECT_TRUE(torch::equal(all.slice(0, face, face + 1), convolution.Run(x.slice(0, face, face + 1), {})));
  }
}

TEST(FoldedConvolution, ANaNComesThroughTheRectifierOfTheTiles) {
  if (!ConvolutionTiles::SuitThisProcessor()) GTEST_SKIP() << "the tiles are for AVX2 and AVX-512";
  auto x = torch::zeros({1, 16, 4, 4}).contiguous(torch::MemoryFormat::ChannelsLast);
  x[0][3][1][1] = std::numeric_limits<float>::quiet_NaN();
  const FoldedConvolution convolution(torch::ones({16, 16, 1, 1}), torch::zeros({16}), {1, 1, 0},
                                      ConvolutionEngine::kTiles);
  EXPECT_TRUE(convolution.Run(x, {{}, true, {}}).isnan().any().item<bool>());
}

}  // namespace
}  // namespace ferment::nn
