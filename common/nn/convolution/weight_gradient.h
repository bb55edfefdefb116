// SPDX-License-Identifier: Apache-2.0
//
// The gradient of a convolution's weights, for processors with AVX2 or AVX-512.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "common/nn/kernels/convolution_rows.h"
#include "common/nn/kernels/wide_vectors.h"

namespace ferment::nn {

/// Returns: whether WeightGradient takes a convolution of `input` [N, I, H, W] whose output's gradient is `gradient`
/// [N, O, H', W'], and is the faster way: `input` float32, dense and channels-last, not empty, I a multiple of 16, on a
/// CPU with AVX2; with AVX-512 few pixels.
bool HasWeightGradient(const torch::Tensor& input, const torch::Tensor& gradient);

/// Returns: [O, I, kernel, kernel], channels-last: the gradient of the loss by the weights of a convolution of `input`
/// whose output's gradient is `gradient` [N, O, H', W'], channels-last. The same bits on any number of threads and with
/// either vectors. Requires: `input` as above, HasVectors(vectors).
///
/// A product of matrices, dW = dY^T X, once for each tap of the kernel, in the manner of Goto and van de Geijn
/// (Anatomy of high-performance matrix multiplication, 2008): panels of both are copied so that tiles of 6 x 16
/// (AVX-512: 8 x 32) sums stay in registers. Pixels are the inner dimension, so no matrix of shifted images is written
/// down.
torch::Tensor WeightGradient(const torch::Tensor& input, const torch::Tensor& gradient, const ConvolutionShape& shape,
                             Vectors vectors = WidestVectors());

}  // namespace ferment::nn
