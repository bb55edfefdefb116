// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/utils.h>

namespace ferment::nn {
namespace {

torch::Tensor Faces(std::int64_t images, std::int64_t channels, std::int64_t side) {
  return torch::randn({images, channels, side, side}).contiguous(torch::MemoryFormat::ChannelsLast);
}

TEST(Convolution, IsPyTorchsForwardAndBackward) {
  torch::manual_seed(4);
  for (const auto& [in, out] :
       {std::pair{3, 24}, std::pair{16, 24}, std::pair{256, 256}}) {  // whichever passes it takes
    torch::nn::Conv2d layer(torch::nn::Conv2dOptions(in, out, 3).stride(2).padding(1).bias(false));
    const torch::Tensor x = Faces(3, in, 11).requires_grad_();
    const torch::Tensor expected = layer->forward(x);
    const torch::Tensor dy = torch::randn_like(expected);
    expected.backward(dy);
    const torch::Tensor dx = x.grad().clone(), dw = layer->weight.grad().clone();
    x.mutable_grad() = torch::Tensor();
    layer->zero_grad();
    const torch::Tensor got = Convolve(*layer, x).y;
    EXPECT_TRUE(torch::allclose(got, expected, 1e-5, 1e-5));
    got.backward(dy);
    EXPECT_TRUE(torch::allclose(x.grad(), dx, 1e-5, 1e-5));
    EXPECT_TRUE(torch::allclose(layer->weight.grad(), dw, 1e-4, 1e-4));
  }
}

/// Of LibTorch's own convolution in bfloat16, whose weights and gradients are rounded too.
TEST(Convolution, OfBFloat16AddsUpInFloat32AndKeepsTheGradientOfWeightsSo) {
  torch::manual_seed(5);
  for (const std::int64_t in : {3, 16}) {
    torch::nn::Conv2d layer(torch::nn::Conv2dOptions(in, 24, 3).stride(2).padding(1).bias(false));
    const torch::Tensor x = Faces(3, in, 11).to(torch::kBFloat16).requires_grad_();
    const torch::Tensor w = layer->weight.detach().to(torch::kBFloat16).requires_grad_();
    const torch::Tensor expected = torch::conv2d(x, w, {}, 2, 1);
    const torch::Tensor dy = torch::randn_like(expected);
    expected.backward(dy);
    const torch::Tensor dx = x.grad().clone();
    x.mutable_grad() = torch::Tensor();
    const torch::Tensor got = Convolve(*layer, x).y;
    EXPECT_EQ(got.scalar_type(), torch::kBFloat16);
    got.backward(dy);
    EXPECT_EQ(layer->weight.grad().scalar_type(), torch::kFloat32);
    const auto expect_near = [](const torch::Tensor& one, const torch::Tensor& other) {
      EXPECT_LT((one.to(torch::kFloat64) - other.to(torch::kFloat64)).norm().item<double>(),
                0.004 * other.to(torch::kFloat64).norm().item<double>());
    };
    expect_near(got, expected);
    expect_near(x.grad(), dx);
    expect_near(layer->weight.grad(), w.grad());
  }
}

}  // namespace
}  // namespace ferment::nn
