// SPDX-License-Identifier: Apache-2.0
//
// The loops of QuantizedConvolution, for AVX2, on bare memory.
#pragma once

#include <cstdint>

#include "common/nn/weight_gradient.h"

namespace ferment::nn {

/// Output channels of a tile.
inline constexpr std::int64_t kQuantizedTileOutputs = 16;
/// Fours of input channels whose products are added in 16 bits; a tap's last block may be shorter.
inline constexpr std::int64_t kQuantizedBlock = 4;

/// One call, as its memory lies. Values are [images][h][w][channels].
struct QuantizedProblem {
  const std::uint8_t* x;
  std::int64_t images, h, w, in;
  std::int64_t oh, ow, out;
  ConvolutionShape shape;
  /// A kernel's row is one tap; needs an input that has its padding in it.
  bool whole_rows;
  std::int32_t input_zero;
  const std::int8_t* weights;  // [blocks of 16 outputs][tap][four input channels][16][4]
  /// Of each output channel, whole blocks. A sum becomes sum * multiplier + offset + residual * residual_scale.
  const float* multiplier;
  const float* offset;
  const float* slope;            // or null
  const std::uint8_t* residual;  // or null
  float residual_scale;
  bool rectify;
  /// Added to that.
  float moved_by;
  /// One of the two is written; bytes are rounded and cut off at 0 and 127.
  float* floats;
  std::uint8_t* bytes;
};

/// Returns: whether this processor can run what follows.
bool HasQuantizedTiles();

void ConvolveQuantized(const QuantizedProblem& problem);

/// bytes = min(max(round(x * factor + zero), 0), 127)
void QuantizeFloats(const float* x, std::int64_t count, float factor, std::int32_t zero, std::uint8_t* bytes);

/// Bytes to bytes, channel by channel: y = min(max(round(x * factor[c] + offset[c]), 0), 127); of `channels` each.
void ScaleBytes(const std::uint8_t* x, std::int64_t pixels, std::int64_t channels, const float* factor,
                const float* offset, std::uint8_t* y);

/// Of three by three, every second pixel, padding one: `x` [images][h][w][channels].
void MaxPoolBytes(const std::uint8_t* x, std::int64_t images, std::int64_t h, std::int64_t w, std::int64_t channels,
                  std::uint8_t* y);

}  // namespace ferment::nn
