// SPDX-License-Identifier: Apache-2.0
//
// The loops of QuantizedConvolution on bare memory, for AVX2 and, faster and to the same bytes, for AVX-512 with VNNI
// and for AMX.
#pragma once

#include <cstdint>

#include "common/nn/kernels/convolution_rows.h"

namespace ferment::nn {

/// Seven bits: so many products of a byte and a weight that sums of them fit into 16 bits can be added there, which is
/// what makes AVX2 worth it (docs/decisions/0034).
inline constexpr std::int32_t kHighestByte = 127;

/// Output channels of a block of weights.
inline constexpr std::int64_t kQuantizedTileOutputs = 16;
/// Fours of input channels whose products AVX2 adds in 16 bits; a tap's last block may be shorter.
inline constexpr std::int64_t kQuantizedBlock = 4;

/// Output pixels that two of AMX's tiles hold.
inline constexpr std::int64_t kAmxPixels = 32;
/// Bytes behind the weights that may be read.
inline constexpr std::int64_t kWeightSlack = 1024;

/// One call, as its memory lies.
struct QuantizedProblem {
  ConvolutionGeometry at;
  const std::uint8_t* x;
  std::int32_t input_zero;
  const std::int8_t* weights;  // [blocks of 16 outputs][tap][four input channels][16][4], kWeightSlack behind
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

/// kVnni: AVX-512's dot products of bytes. kAmx: those of whole tiles of them.
enum class QuantizedTiles { kAvx2, kVnni, kAmx };

/// Returns: whether this processor can run these; where it has kAvx2, all that follows.
bool HasQuantizedTiles(QuantizedTiles tiles);
/// Returns: kAvx2 also where the processor has neither.
QuantizedTiles FastestQuantizedTiles();

void ConvolveQuantized(const QuantizedProblem& problem, QuantizedTiles tiles);
/// What that does with some output pixels and all output channels. AVX2: products in pairs, in 16 bits, four of which
/// are added before they become 32; VNNI: in fours, in 32 bits.
void ConvolveBlockAvx2(const QuantizedProblem& problem, const RowBlock<std::uint8_t>& block);
void ConvolveBlockVnni(const QuantizedProblem& problem, const RowBlock<std::uint8_t>& block);
void ConvolveBlockAmx(const QuantizedProblem& problem, const RowBlock<std::uint8_t>& block);
/// Returns: whether processor and kernel let this process use AMX; asks the kernel for it.
bool MayUseAmx();

/// bytes = min(max(round(x * factor + zero), 0), 127)
void QuantizeFloats(const float* x, std::int64_t count, float factor, std::int32_t zero, std::uint8_t* bytes);

/// Bytes to bytes, channel by channel: y = min(max(round(x * factor[c] + offset[c]), 0), 127); of `channels` each.
void ScaleBytes(const std::uint8_t* x, std::int64_t pixels, std::int64_t channels, const float* factor,
                const float* offset, std::uint8_t* y);

/// Of three by three, every second pixel, padding one: `x` [images][h][w][channels].
void MaxPoolBytes(const std::uint8_t* x, std::int64_t images, std::int64_t h, std::int64_t w, std::int64_t channels,
                  std::uint8_t* y);

}  // namespace ferment::nn
