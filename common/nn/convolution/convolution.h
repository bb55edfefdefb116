// SPDX-License-Identifier: Apache-2.0
//
// A convolution that is not folded: its passes take the faster of our kernels and LibTorch's. And what may follow it.
#pragma once

#include <torch/types.h>

#include "common/nn/convolution/convolution_passes.h"

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

/// Requires: a square kernel with equal strides and paddings, no bias, groups or dilation.
ConvolutionShape ShapeOf(const torch::nn::Conv2dImpl& convolution);

/// Returns: convolution.forward(x), and y's moments where they were asked for and cost no pass over memory. `x` [N, C,
/// H, W]. A bfloat16 `x` meets float32 weights rounded to its type: products are added up in float32 and rounded once;
/// the gradient of the weights is float32. Requires: as ShapeOf.
ForwardPass Convolve(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x, bool with_moments = false);

}  // namespace ferment::nn
