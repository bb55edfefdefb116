// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/quantized_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "common/nn/kernels/quantized_store.h"

namespace ferment::nn {
namespace {

constexpr std::int64_t kOut = kQuantizedTileOutputs;

/// Up to 24 of the 32 registers hold sums, of 16 outputs each.
template <int kPixels, int kBlocks>
using Tile = __m512i[kPixels][kBlocks];

/// `stride`: bytes from one block of outputs' weights to the next.
template <int kPixels, int kBlocks>
FERMENT_VNNI_PART void Multiply(const TapTable& table, const TileRow<std::uint8_t>* rows, const std::int8_t* weights,
                                std::int64_t stride, const std::uint8_t* outside, Tile<kPixels, kBlocks>& tile) {
#pragma GCC unroll 12
  for (int i = 0; i < kPixels; ++i) {
#pragma GCC unroll 4
    for (int block = 0; block < kBlocks; ++block) tile[i][block] = _mm512_setzero_si512();
  }
  const std::int64_t fours = table.Fours();
  for (std::int64_t tap = 0; tap < table.taps; ++tap) {
    const std::uint8_t* from[kPixels];
#pragma GCC unroll 12
    for (int i = 0; i < kPixels; ++i) from[i] = rows[i].Tap(tap, outside);
    for (std::int64_t four = 0; four < fours; ++four, weights += 4 * kOut) {
      __m512i w[kBlocks];
#pragma GCC unroll 4
      for (int block = 0; block < kBlocks; ++block) w[block] = _mm512_loadu_si512(weights + block * stride);
#pragma GCC unroll 12
      for (int i = 0; i < kPixels; ++i) {
        std::int32_t bits;
        std::memcpy(&bits, from[i] + 4 * four, sizeof(bits));
        const __m512i bytes = _mm512_set1_epi32(bits);
#pragma GCC unroll 4
        for (int block = 0; block < kBlocks; ++block) {
          tile[i][block] = _mm512_dpbusd_epi32(tile[i][block], bytes, w[block]);
        }
      }
    }
  }
}

/// All tiles of kBlocks blocks of output channels. The loop is that of float_tiles_avx512.cc, and stands here too: what
/// is compiled for one instruction set is not inlined into what is compiled for another.
template <int kPixels, int kBlocks, bool kResidual>
FERMENT_VNNI void ConvolveRows(const QuantizedProblem& problem, const RowBlock<std::uint8_t>& block,
                               std::int64_t channel) {
  static_assert(kPixels <= kLongestTile);
  // A copy, as a stored byte might be anything else to the compiler.
  const QuantizedProblem p = problem;
  const std::int64_t stride = kOut * block.table.taps * block.table.Fours() * 4;
  const std::int8_t* const weights = p.weights + channel / kOut * stride;
  for (std::int64_t row = 0; row < block.count; row += kPixels) {
    Tile<kPixels, kBlocks> tile;
    Multiply<kPixels, kBlocks>(block.table, block.At(row), weights, stride, block.outside, tile);
#pragma GCC unroll 12
    for (int i = 0; i < kPixels; ++i) {
      if (row + i >= block.count) break;
      const std::int64_t at = (block.first + row + i) * p.at.out + channel;
#pragma GCC unroll 4
      for (int part = 0; part < kBlocks; ++part) {
        const std::int64_t left = std::min(kOut, p.at.out - channel - kOut * part);
        StoreSums<kResidual>(p, tile[i][part], at + kOut * part, channel + kOut * part,
                             static_cast<__mmask16>((1U << left) - 1));
      }
    }
  }
}

template <bool kResidual>
void ConvolveChannels(const QuantizedProblem& p, const RowBlock<std::uint8_t>& block) {
  ForEachTileWidth({0, p.at.out}, kOut, [&](auto blocks, std::int64_t channel) {
    // Eight where sixteen channels are all: twelve pixels' addresses would not stay in registers.
    constexpr int kPixels = blocks() == 4 ? 6 : blocks() == 2 ? 12 : 8;
    ConvolveRows<kPixels, blocks(), kResidual>(p, block, channel);
  });
}

}  // namespace

void ConvolveBlockVnni(const QuantizedProblem& p, const RowBlock<std::uint8_t>& block) {
  p.residual == nullptr ? ConvolveChannels<false>(p, block) : ConvolveChannels<true>(p, block);
}

}  // namespace ferment::nn

#endif
