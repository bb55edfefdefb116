// SPDX-License-Identifier: Apache-2.0
//
// A convolution's passes over changing weights, on the tiles of float_tiles.h: forward, and back to its input.
#pragma once

#include <torch/types.h>

#include "common/nn/kernels/convolution_rows.h"
#include "common/nn/kernels/wide_vectors.h"

namespace ferment::nn {

/// Returns: whether the passes take a convolution of `x` [N, I, H, W] by `weight` [O, I, kernel, kernel]: float32, `x`
/// dense, channels-last and not smaller than the kernel, I and O multiples of 16, on a CPU with AVX2.
bool HasTilePasses(const torch::Tensor& x, const torch::Tensor& weight, const ConvolutionShape& shape);

/// What the passes give has the same bits on any number of threads and with any vectors. They put the weights in order
/// anew each time, which costs less than a convolution by oneDNN, which does that too. Requires: HasTilePasses of the
/// convolution, HasVectors(vectors).
struct ForwardPass {
  torch::Tensor y;        // [N, O, H', W'], channels-last
  torch::Tensor moments;  // of y, as ChannelMoments has them; undefined where not asked for
};
/// Moments are taken of each part of y while it is in the cache.
ForwardPass ConvolveForward(const torch::Tensor& x, const torch::Tensor& weight, const ConvolutionShape& shape,
                            bool with_moments, Vectors vectors = WidestVectors());

/// Returns: whether ConvolveBackward takes the shape: stride 1 and less padding than kernel, or one pixel, unpadded.
bool HasConvolveBackward(const ConvolutionShape& shape);
/// Returns: of size `like`, [N, I, H, W], channels-last: the gradient of the loss by the input, `dy` [N, O, H', W'],
/// channels-last, being that by the output. Requires: HasConvolveBackward(shape).
torch::Tensor ConvolveBackward(const torch::Tensor& dy, at::IntArrayRef like, const torch::Tensor& weight,
                               const ConvolutionShape& shape, Vectors vectors = WidestVectors());

}  // namespace ferment::nn
