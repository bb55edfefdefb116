// SPDX-License-Identifier: Apache-2.0
//
// A convolution in training, whose passes take the faster of our kernels and LibTorch's, and what may follow it.
#pragma once

#include <torch/types.h>

namespace torch::nn {
class Conv2dImpl;
}

namespace ferment::nn {

/// What follows a convolution and its normalisation, done in the same pass over memory where that can be: + residual,
/// then max(0, .), or slope * . below zero.
struct Epilogue {
  torch::Tensor residual = {};  // as what it is added to, or undefined
  bool rectify = false;
  torch::Tensor slope = {};  // [channels] of a PReLU, or undefined
};

struct Convolved {
  torch::Tensor y;
  /// Of y, as ChannelMoments has them, where they were asked for and cost no pass over memory; else undefined.
  torch::Tensor moments;
};
/// Returns: convolution.forward(x), of a square kernel without bias, groups or dilation. `x` [N, C, H, W]. A bfloat16
/// `x` meets float32 weights rounded to its type: products are added up in float32 and rounded once; the gradient of
/// the weights is float32.
Convolved Convolve(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x, bool with_moments = false);

}  // namespace ferment::nn
