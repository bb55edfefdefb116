// SPDX-License-Identifier: Apache-2.0
//
// A convolution's forward pass with all that follows it, for processors with AVX2 or AVX-512.
#pragma once

#include <torch/types.h>

#include "common/nn/convolution/convolution.h"
#include "common/nn/kernels/convolution_rows.h"
#include "common/nn/kernels/float_tiles.h"

namespace ferment::nn {

/// Weights in the order in which tiles of some pixels by some output channels read them.
///
/// A tile's sums stay in registers over the whole of a kernel's taps and input channels, and get what follows the
/// convolution before they are stored, once. Pixels are read where they lie (convolution_rows.h), but for inputs
/// of few channels, which are copied once to have their padding.
/// Every output is one chain of fused additions in one order: its bits depend neither on threads, nor on what else is
/// in the batch, nor on which vectors the processor has. One call runs on one thread.
///
/// Thread: any number at a time.
class ConvolutionTiles {
 public:
  /// Returns: whether this processor has vectors that the tiles are written for.
  static bool SuitThisProcessor();

  /// `weight` [O, I, kernel, kernel], `bias` [O], float32.
  ConvolutionTiles(const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape,
                   Vectors vectors = WidestVectors());

  /// `x` [N, I, H, W] float32, channels-last and dense. Returns: [N, O, H', W'], channels-last.
  torch::Tensor Run(const torch::Tensor& x, const Epilogue& epilogue) const;

 private:
  torch::Tensor packed_;  // as PanelsOfOutputs has them
  torch::Tensor bias_;    // [blocks * 16]
  std::int64_t in_;
  std::int64_t out_;
  ConvolutionShape shape_;
  Vectors vectors_;
};

}  // namespace ferment::nn
