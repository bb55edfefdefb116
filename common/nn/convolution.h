// SPDX-License-Identifier: Apache-2.0
//
// A convolution whose backward pass takes the faster gradient of weights where there is one.
#pragma once

#include <torch/types.h>

namespace torch::nn {
class Conv2dImpl;
}

namespace ferment::nn {

/// Returns: convolution.forward(x), of a square kernel without bias, groups or dilation. `x` [N, C, H, W].
torch::Tensor Convolve(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x);

}  // namespace ferment::nn
