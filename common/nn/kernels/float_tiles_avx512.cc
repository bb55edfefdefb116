// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/float_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>

namespace ferment::nn {
namespace {

#define FERMENT_AVX512_PART FERMENT_AVX512 __attribute__((always_inline)) inline

constexpr std::int64_t kOut = kFloatTileOutputs;

/// Up to 24 of the 32 registers hold sums, of 16 outputs each.
template <int kPixels, int kBlocks>
using Tile = __m512[kPixels][kBlocks];

/// `stride`: floats from one block of outputs' weights to the next.
template <int kPixels, int kBlocks>
FERMENT_AVX512_PART void Multiply(const TapTable& table, const TileRow<float>* rows, const float* weights,
                                  std::int64_t stride, const float* bias, const float* outside,
                                  Tile<kPixels, kBlocks>& tile) {
#pragma GCC unroll 4
  for (int block = 0; block < kBlocks; ++block) {
    const __m512 start = _mm512_loadu_ps(bias + kOut * block);
#pragma GCC unroll 12
    for (int i = 0; i < kPixels; ++i) tile[i][block] = start;
  }
  for (std::int64_t tap = 0; tap < table.taps; ++tap) {
    const float* from[kPixels];
#pragma GCC unroll 12
    for (int i = 0; i < kPixels; ++i) from[i] = rows[i].Tap(tap, outside);
    for (std::int64_t c = 0; c < table.run; ++c, weights += kOut) {
      __m512 w[kBlocks];
#pragma GCC unroll 4
      for (int block = 0; block < kBlocks; ++block) w[block] = _mm512_loadu_ps(weights + block * stride);
#pragma GCC unroll 12
      for (int i = 0; i < kPixels; ++i) {
        const __m512 value = _mm512_set1_ps(from[i][c]);
#pragma GCC unroll 4
        for (int block = 0; block < kBlocks; ++block) {
          tile[i][block] = _mm512_fmadd_ps(value, w[block], tile[i][block]);
        }
      }
    }
  }
}

/// Sixteen sums, those of `some`, to where they belong. Float by float as the loops for AVX2 do it.
FERMENT_AVX512_PART void Store(const FloatProblem& p, __m512 value, std::int64_t at, std::int64_t channel,
                               __mmask16 some) {
  const __m512 zero = _mm512_setzero_ps();
  if (p.residual != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(some, p.residual + at));
  if (p.slope != nullptr) {
    value = _mm512_mask_mul_ps(value, _mm512_cmp_ps_mask(value, zero, _CMP_NGE_UQ), value,
                               _mm512_loadu_ps(p.slope + channel));
  }
  // So that a NaN stays one, and its record is quarantined.
  if (p.rectify) value = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(value, zero, _CMP_NLT_UQ), value);
  _mm512_mask_storeu_ps(p.y + at, some, value);
}

/// All tiles of kBlocks blocks of output channels.
template <int kPixels, int kBlocks>
FERMENT_AVX512 void ConvolveRows(const FloatProblem& problem, const RowBlock<float>& block, std::int64_t channel) {
  static_assert(kPixels <= kLongestTile);
  // A copy, as a stored float might be anything else to the compiler.
  const FloatProblem p = problem;
  const std::int64_t stride = kOut * block.table.taps * block.table.run;
  const float* const weights = p.weights + channel / kOut * stride;
  for (std::int64_t row = 0; row < block.count; row += kPixels) {
    Tile<kPixels, kBlocks> tile;
    Multiply<kPixels, kBlocks>(block.table, block.At(row), weights, stride, p.bias + channel, block.outside, tile);
#pragma GCC unroll 12
    for (int i = 0; i < kPixels; ++i) {
      if (row + i >= block.count) break;
      const std::int64_t at = (block.first + row + i) * p.at.out + channel;
#pragma GCC unroll 4
      for (int part = 0; part < kBlocks; ++part) {
        const std::int64_t left = std::min(kOut, p.at.out - channel - kOut * part);
        Store(p, tile[i][part], at + kOut * part, channel + kOut * part, static_cast<__mmask16>((1U << left) - 1));
      }
    }
  }
}

}  // namespace

void ConvolveBlockAvx512(const FloatProblem& p, const RowBlock<float>& block, ChannelRange channels) {
  ForEachTileWidth(channels, kOut, [&](auto blocks, std::int64_t channel) {
    ConvolveRows<blocks() == 4 ? 6 : 12, blocks()>(p, block, channel);
  });
}

}  // namespace ferment::nn

#endif
