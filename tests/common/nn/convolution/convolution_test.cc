// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/convolution.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/utils.h>

namespace ferment::nn {
namespace {

torch::Tensor Faces(std::int64_t images, std::int64_t channels, std::int64_t side) {
  return torch::randn({images, channels, side, side}).contiguous(torch::MemoryFormat::ChannelsLast);
}

struct Shape {
  std::int64_t in, out, kernel, stride;
};

/// Whichever passes they take: ours, LibTorch's, or some of each.
const std::vector<Shape>& Shapes() {
  static const std::vector<Shape> shapes = {{3, 24, 3, 2},  {16, 24, 3, 2}, {256, 256, 3, 2}, {32, 64, 1, 1},
                                            {32, 64, 1, 2}, {32, 64, 3, 1}, {32, 64, 3, 2}};
  return shapes;
}

torch::nn::Conv2d Layer(const Shape& shape) {
  torch::nn::Conv2d layer(torch::nn::Conv2dOptions(shape.in, shape.out, shape.kernel)
                              .stride(shape.stride)
                              .padding(shape.kernel / 2)
                              .bias(false));
  return layer;
}

TEST(Convolution, IsPyTorchsForwardAndBackward) {
  torch::manual_seed(4);
  for (const Shape& shape : Shapes()) {
    for (const auto& [of_input, of_weight] :
         {std::pair{true, true}, std::pair{true, false}, std::pair{false, true}, std::pair{false, false}}) {
      SCOPED_TRACE(::testing::Message() << shape.in << " to " << shape.out << " kernel=" << shape.kernel
                                        << " stride=" << shape.stride << " gradients " << of_input << of_weight);
      torch::nn::Conv2d layer = Layer(shape);
      layer->weight.set_requires_grad(of_weight);
      const torch::Tensor x = Faces(3, shape.in, 11).requires_grad_(of_input);
      const torch::Tensor expected = layer->forward(x);
      const ForwardPass got = Convolve(*layer, x, /*with_moments=*/true);
      EXPECT_TRUE(torch::allclose(got.y, expected, 1e-5, 1e-5));
      if (got.moments.defined()) {
        EXPECT_FALSE(got.moments.requires_grad());
        EXPECT_TRUE(torch::allclose(got.moments[0], expected.to(torch::kFloat64).mean({0, 2, 3}), 1e-5, 1e-6));
      }
      EXPECT_EQ(got.y.requires_grad(), of_input || of_weight);
      if (!got.y.requires_grad()) continue;
      const torch::Tensor dy = torch::randn_like(expected);
      expected.backward(dy);
      const torch::Tensor dx = of_input ? x.grad().clone() : x, dw = of_weight ? layer->weight.grad().clone() : x;
      x.mutable_grad() = torch::Tensor();
      layer->zero_grad();
      got.y.backward(dy);
      if (of_input) {
        EXPECT_TRUE(torch::allclose(x.grad(), dx, 1e-5, 1e-5));
      }
      if (of_weight) {
        EXPECT_TRUE(torch::allclose(layer->weight.grad(), dw, 1e-4, 1e-4));
      }
    }
  }
}

/// Of LibTorch's own convolution in bfloat16, whose weights and gradients are rounded too.
TEST(Convolution, OfBFloat16AddsUpInFloat32AndKeepsTheGradientOfWeightsSo) {
  torch::manual_seed(5);
  for (const auto& [in, out] : {std::pair{3, 24}, std::pair{16, 24}, std::pair{16, 32}}) {
    torch::nn::Conv2d layer = Layer({in, out, 3, 2});
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
