// SPDX-License-Identifier: Apache-2.0
//
// The loops of ConvolutionTiles on bare memory.
#pragma once

#include <cstdint>

#include "common/nn/convolution_rows.h"
#include "common/nn/wide_vectors.h"

namespace ferment::nn {

/// Output channels of a block of weights.
inline constexpr std::int64_t kFloatTileOutputs = 16;

/// One call, as its memory lies.
struct FloatProblem {
  ConvolutionGeometry at;
  const float* x;
  const float* weights;   // [blocks of 16 outputs][tap][input channel][16]
  const float* bias;      // of each output channel, whole blocks
  const float* residual;  // or null
  const float* slope;     // or null; whole blocks
  bool rectify;
  float* y;
};

/// Tiles of 6 pixels by 16 output channels with AVX2, and of 6 by 64 (12 by fewer) with AVX-512. Requires:
/// HasVectors(vectors).
void ConvolveFloats(const FloatProblem& problem, Vectors vectors);
/// What that does with some output pixels and all output channels.
void ConvolveBlockAvx2(const FloatProblem& problem, const RowBlock<float>& block);
void ConvolveBlockAvx512(const FloatProblem& problem, const RowBlock<float>& block);

}  // namespace ferment::nn
