// SPDX-License-Identifier: Apache-2.0
//
// The loops of ConvolutionTiles on bare memory.
#pragma once

#include <cstdint>
#include <vector>

#include "common/nn/kernels/convolution_rows.h"
#include "common/nn/kernels/wide_vectors.h"

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

/// Tiles of 6 pixels by 16 output channels with AVX2, and of 6 by 64 (12 by fewer) with AVX-512, of some output pixels.
void ConvolveBlockAvx2(const FloatProblem& problem, const RowBlock<float>& block, ChannelRange channels);
void ConvolveBlockAvx512(const FloatProblem& problem, const RowBlock<float>& block, ChannelRange channels);

/// One call in parts, which depend on the problem alone: blocks of output pixels and, where those are few, of output
/// channels, so that weights are read once.
class FloatParts {
 public:
  /// Requires: HasVectors(vectors); what `problem` points to outlives this.
  FloatParts(const FloatProblem& problem, Vectors vectors);

  std::int64_t count() const { return row_blocks_.count() * channel_groups_; }
  /// Of each block of output pixels, in order.
  std::vector<std::int64_t> Rows() const;

  struct Part {
    std::int64_t row_block;
    std::int64_t first_row, rows;
    ChannelRange channels;
  };
  /// Thread: any number at a time, each part once.
  Part Make(std::int64_t part) const;

 private:
  FloatProblem problem_;
  [[maybe_unused]] Vectors vectors_;
  RowBlocks<float> row_blocks_;
  std::int64_t channel_groups_;
  std::int64_t group_channels_;
};

}  // namespace ferment::nn
