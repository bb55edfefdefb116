// SPDX-License-Identifier: Apache-2.0
//
// A convolution's weights in the order in which float_tiles.h reads them.
#pragma once

#include <torch/types.h>

namespace ferment::nn {

/// Returns: [blocks of 16 outputs][tap][input channel][16] of `weight` [O, I, kernel, kernel], float32 on the CPU;
/// zeros where outputs end.
torch::Tensor PanelsOfOutputs(const torch::Tensor& weight);

/// Returns: the same of the convolution that takes an output's gradient back to the input where the stride is one: its
/// outputs are the input channels, and its taps are turned round. Requires: I a multiple of 16.
torch::Tensor PanelsOfInputs(const torch::Tensor& weight);

}  // namespace ferment::nn
