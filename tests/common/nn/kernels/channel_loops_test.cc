// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/channel_loops.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/utils.h>

#include <limits>

#include "common/nn/batch_norm.h"
#include "common/nn/kernels/channel_moments.h"

namespace ferment::nn {
namespace {

torch::Tensor Rows(std::vector<std::int64_t> sizes, torch::ScalarType type = torch::kFloat64) {
  const torch::Tensor x = torch::randn(sizes, type);
  return sizes.size() == 4 ? x.contiguous(torch::MemoryFormat::ChannelsLast) : x;
}

TEST(ChannelLoops, GiveTheSameBitsOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const torch::Tensor x = Rows({40, 48, 9, 9}, torch::kFloat32);
  at::set_num_threads(1);
  const torch::Tensor alone = ChannelMoments(x);
  at::set_num_threads(3);
  EXPECT_TRUE(torch::equal(ChannelMoments(x), alone));
  at::set_num_threads(before);
}

TEST(ChannelLoops, HandOnANumberThatIsNotFinite) {
  for (const bool with_residual : {true, false}) {
    torch::Tensor x = torch::ones({3, 4});
    x[1][2] = std::numeric_limits<float>::quiet_NaN();
    const ChannelTransform transform{torch::ones({4}), torch::zeros({4}),
                                     with_residual ? torch::ones({3, 4}) : torch::Tensor(), /*rectify=*/true};
    const torch::Tensor y = Transform(x, transform);
    EXPECT_TRUE(torch::equal(y.isnan(), x.isnan()));
    EXPECT_TRUE(ChannelMoments(x)[0][2].isnan().item<bool>());
    const torch::Tensor sums = GradientSums({x, x, y, torch::zeros({4}), transform});
    EXPECT_TRUE(sums[0][2].isnan().item<bool>());
    EXPECT_EQ(sums[0][1].item<double>(), 3);
  }
}

/// Values of every size, and those whose rounding is special.
torch::Tensor BFloat16Rows(std::vector<std::int64_t> sizes) {
  torch::Tensor x = Rows(sizes, torch::kFloat32) * torch::pow(10.0, Rows(sizes, torch::kFloat32) * 4);
  const float inf = std::numeric_limits<float>::infinity();
  const torch::Tensor special =
      torch::tensor({0.0F, -0.0F, inf, -inf, std::numeric_limits<float>::quiet_NaN(), 3.3e38F, 1e-39F});
  x.permute({0, 2, 3, 1}).view({-1}).slice(0, 0, special.size(0)).copy_(special);
  return x.to(torch::kBFloat16);
}

TEST(ChannelLoops, OfBFloat16ComputeInFloat32AndRoundOnce) {
  torch::manual_seed(3);
  for (const std::int64_t channels : {1, 7, 48}) {
    const std::vector<std::int64_t> sizes = {9, channels, 5, 3};
    const auto wide = [](const torch::Tensor& x) { return x.defined() ? x.to(torch::kFloat32) : x; };
    const auto expect_rounded = [](const torch::Tensor& got, const torch::Tensor& expected) {
      EXPECT_EQ(got.scalar_type(), torch::kBFloat16);
      const torch::Tensor rounded = expected.to(torch::kBFloat16);
      EXPECT_TRUE(torch::equal(got.isnan(), rounded.isnan()));
      const auto bits = [](const torch::Tensor& x) { return x.nan_to_num(0, 1, 2).view(torch::kInt16); };
      EXPECT_TRUE(torch::equal(bits(got), bits(rounded)));
    };
    const torch::Tensor x = BFloat16Rows(sizes), residual = BFloat16Rows(sizes), dy = BFloat16Rows(sizes);
    EXPECT_TRUE(torch::allclose(ChannelMoments(x), ChannelMoments(wide(x)), 0, 0, /*equal_nan=*/true));
    const torch::Tensor scale = torch::randn({channels}), shift = torch::randn({channels});
    for (const bool with_residual : {true, false}) {
      for (const bool rectify : {true, false}) {
        SCOPED_TRACE(::testing::Message() << channels << with_residual << rectify);
        const ChannelTransform narrow{scale, shift, with_residual ? residual : torch::Tensor(), rectify};
        const ChannelTransform whole{scale, shift, wide(narrow.residual), rectify};
        const torch::Tensor y = Transform(x, narrow);
        expect_rounded(y, Transform(wide(x), whole));
        const ChannelGradient gradient{dy, x, y, shift, narrow};
        const ChannelGradient of_whole{wide(dy), wide(x), wide(y), shift, whole};
        EXPECT_TRUE(torch::allclose(GradientSums(gradient), GradientSums(of_whole), 0, 0, /*equal_nan=*/true));
        const InputGradient got = GradientOfInput(gradient, scale, shift, with_residual);
        const InputGradient expected = GradientOfInput(of_whole, scale, shift, with_residual);
        expect_rounded(got.dx, expected.dx);
        if (with_residual) expect_rounded(got.dz, expected.dz);
      }
    }
  }
}

/// bn(x) with its epilogue, from LibTorch's own operations.
torch::Tensor Reference(torch::nn::BatchNorm2d& norm, const torch::Tensor& x, const torch::Tensor& residual,
                        bool rectify) {
  torch::Tensor y = norm->forward(x);
  if (residual.defined()) y = y + residual;
  return rectify ? torch::relu(y) : y;
}

/// One convolution of the identity, so that the layer is reached by the way that networks take.
torch::nn::Conv2d Identity(std::int64_t channels, torch::ScalarType type) {
  torch::nn::Conv2d layer(torch::nn::Conv2dOptions(channels, channels, 1).bias(false));
  layer->to(type);
  torch::NoGradGuard no_grad;
  layer->weight.copy_(torch::eye(channels, type).view({channels, channels, 1, 1}));
  return layer;
}

/// In float32 the convolution brings the moments along, where the processor has its tiles.
class BatchNormWithItsEpilogue : public ::testing::TestWithParam<torch::ScalarType> {};

TEST_P(BatchNormWithItsEpilogue, IsPyTorchsForwardAndBackward) {
  torch::manual_seed(2);
  constexpr std::int64_t kChannels = 16;
  const torch::ScalarType type = GetParam();
  const double close = type == torch::kFloat64 ? 1e-11 : 2e-5;
  for (const bool training : {true, false}) {
    for (const bool with_residual : {true, false}) {
      for (const bool rectify : {true, false}) {
        SCOPED_TRACE(::testing::Message() << training << with_residual << rectify);
        BatchNorm ours(kChannels);
        torch::nn::BatchNorm2d theirs(kChannels);
        for (torch::nn::Module* module :
             {static_cast<torch::nn::Module*>(ours.get()), static_cast<torch::nn::Module*>(theirs.get())}) {
          module->to(type);
          module->train(training);
          torch::NoGradGuard no_grad;
          module->named_parameters()["weight"].copy_(torch::linspace(-1, 2, kChannels));
          module->named_parameters()["bias"].copy_(torch::linspace(-0.3, 0.2, kChannels));
          module->named_buffers()["running_mean"].fill_(0.2);
        }
        torch::nn::Conv2d identity = Identity(kChannels, type);
        std::vector<torch::Tensor> results[2];
        const torch::Tensor values = Rows({5, kChannels, 6, 4}, type) * 2 + 1, added = Rows({5, kChannels, 6, 4}, type);
        const torch::Tensor dy = Rows({5, kChannels, 6, 4}, type);
        for (const bool own : {true, false}) {
          const torch::Tensor x = values.clone().requires_grad_();
          const torch::Tensor residual = with_residual ? added.clone().requires_grad_() : torch::Tensor();
          const torch::Tensor y = own ? ours->ConvolveAndNormalize(*identity, x, {residual, rectify})
                                      : Reference(theirs, x, residual, rectify);
          y.backward(dy);
          const auto parameters = own ? ours->parameters() : theirs->parameters();
          const auto buffers = own ? ours->buffers() : theirs->buffers();
          results[own] = {y, x.grad(), parameters[0].grad(), parameters[1].grad(), buffers[0], buffers[1]};
          if (with_residual) results[own].push_back(residual.grad());
        }
        for (std::size_t i = 0; i < results[0].size(); ++i) {
          EXPECT_TRUE(torch::allclose(results[1][i], results[0][i], close, close)) << "result " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, BatchNormWithItsEpilogue, ::testing::Values(torch::kFloat32, torch::kFloat64),
                         [](const auto& type) { return std::string(toString(type.param)); });

}  // namespace
}  // namespace ferment::nn
