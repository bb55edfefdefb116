// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/quantized_tiles.h"

#if defined(__x86_64__)

#include <algorithm>
#include <cstring>

#include "common/nn/kernels/avx2_bytes.h"

namespace ferment::nn {
namespace {

/// Six registers hold sums in 32 bits and six in 16, of three pixels by sixteen outputs.
constexpr std::int64_t kPixels = 3;
static_assert(kPixels <= kLongestTile);
constexpr std::int64_t kOut = kQuantizedTileOutputs;

using Tile = __m256i[kPixels][2];

/// Four bytes eight times over.
FERMENT_AVX2_PART __m256i Spread(const std::uint8_t* four) {
  std::int32_t bits;
  std::memcpy(&bits, four, sizeof(bits));
  return _mm256_set1_epi32(bits);
}

/// Adds products of kFours fours of input channels, at most kQuantizedBlock, to the tile.
template <int kFours>
FERMENT_AVX2_PART void AddBlock(const std::uint8_t* const (&from)[kPixels], std::int64_t at, const std::int8_t* weights,
                                Tile& tile) {
  Tile sums;
#pragma GCC unroll 4
  for (int four = 0; four < kFours; ++four) {
    const auto* vectors = reinterpret_cast<const __m256i*>(weights + 4 * kOut * four);
    const __m256i low = _mm256_loadu_si256(vectors);
    const __m256i high = _mm256_loadu_si256(vectors + 1);
#pragma GCC unroll 3
    for (int i = 0; i < kPixels; ++i) {
      const __m256i bytes = Spread(from[i] + at + 4 * four);
      const __m256i with_low = _mm256_maddubs_epi16(bytes, low);
      const __m256i with_high = _mm256_maddubs_epi16(bytes, high);
      sums[i][0] = four == 0 ? with_low : _mm256_add_epi16(sums[i][0], with_low);
      sums[i][1] = four == 0 ? with_high : _mm256_add_epi16(sums[i][1], with_high);
      // In this order: reordered, the sums would not stay in registers.
      asm volatile("" : "+x"(sums[i][0]), "+x"(sums[i][1]));
    }
  }
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 3
  for (int i = 0; i < kPixels; ++i) {
    tile[i][0] = _mm256_add_epi32(tile[i][0], _mm256_madd_epi16(sums[i][0], ones));
    tile[i][1] = _mm256_add_epi32(tile[i][1], _mm256_madd_epi16(sums[i][1], ones));
  }
}

FERMENT_AVX2_PART void Multiply(std::int64_t taps, std::int64_t run, const TileRow<std::uint8_t>* rows,
                                const std::int8_t* weights, const std::uint8_t* outside, Tile& tile) {
#pragma GCC unroll 3
  for (std::int64_t i = 0; i < kPixels; ++i) tile[i][0] = tile[i][1] = _mm256_setzero_si256();
  constexpr std::int64_t kBlock = kQuantizedBlock * 4;
  const std::int64_t fours = (run + 3) / 4;
  const std::int64_t whole = fours / kQuantizedBlock * kBlock;
  const std::int64_t rest = fours % kQuantizedBlock;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    const std::uint8_t* from[kPixels];
#pragma GCC unroll 3
    for (std::int64_t i = 0; i < kPixels; ++i) {
      from[i] = rows[i].Tap(tap, outside);
    }
    for (std::int64_t at = 0; at < whole; at += kBlock, weights += kBlock * kOut) {
      AddBlock<kQuantizedBlock>(from, at, weights, tile);
    }
    if (rest == 1) AddBlock<1>(from, whole, weights, tile);
    if (rest == 2) AddBlock<2>(from, whole, weights, tile);
    if (rest == 3) AddBlock<3>(from, whole, weights, tile);
    weights += rest * 4 * kOut;
  }
}

/// Eight sums as they are to be stored, in the output's unit.
FERMENT_AVX2_PART __m256 Finished(const QuantizedProblem& p, __m256i sums, std::int64_t channel,
                                  const std::uint8_t* residual) {
  __m256 value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(p.multiplier + channel),
                                 _mm256_loadu_ps(p.offset + channel));
  if (residual != nullptr) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(residual));
    value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight)), _mm256_set1_ps(p.residual_scale), value);
  }
  if (p.rectify) value = _mm256_max_ps(value, _mm256_setzero_ps());
  if (p.slope != nullptr) {
    const __m256 below = _mm256_mul_ps(value, _mm256_loadu_ps(p.slope + channel));
    value = _mm256_blendv_ps(value, below, value);  // by the sign
  }
  if (p.moved_by != 0) value = _mm256_add_ps(value, _mm256_set1_ps(p.moved_by));
  return value;
}

/// Where not all sixteen exist, or floats come out.
FERMENT_AVX2 void StoreSome(const QuantizedProblem& p, const __m256i (&sums)[2], std::int64_t at,
                            std::int64_t channel) {
  const auto count = static_cast<std::size_t>(std::min(kOut, p.at.out - channel));
  std::uint8_t residual[kOut] = {};
  if (p.residual != nullptr) std::memcpy(residual, p.residual + at, count);
  const __m256 low = Finished(p, sums[0], channel, p.residual == nullptr ? nullptr : residual);
  const __m256 high = Finished(p, sums[1], channel + 8, p.residual == nullptr ? nullptr : residual + 8);
  if (p.floats != nullptr) {
    float values[kOut];
    _mm256_storeu_ps(values, low);
    _mm256_storeu_ps(values + 8, high);
    std::memcpy(p.floats + at, values, count * sizeof(float));
  } else {
    std::uint8_t values[kOut];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(values), Packed(Rounded(low), Rounded(high)));
    std::memcpy(p.bytes + at, values, count);
  }
}

/// A tile's lines of the output and of the residual are far away; they come while it is multiplied.
FERMENT_AVX2_PART void AskForOutput(const QuantizedProblem& p, std::int64_t row, std::int64_t channel) {
#pragma GCC unroll 3
  for (std::int64_t at = row * p.at.out + channel; at < (row + kPixels) * p.at.out; at += p.at.out) {
    if (p.bytes != nullptr) __builtin_prefetch(p.bytes + at, 1);
    if (p.residual != nullptr) __builtin_prefetch(p.residual + at);
  }
}

/// All tiles of one block of output channels. `kWhole`: all sixteen of them exist, and bytes come out.
template <bool kWhole, bool kResidual>
FERMENT_AVX2 void ConvolveRows(const QuantizedProblem& problem, const RowBlock<std::uint8_t>& block,
                               std::int64_t channel) {
  // Copies, as a stored byte might be anything else to the compiler.
  const QuantizedProblem p = problem;
  const std::int64_t taps = block.table.taps, run = block.table.run;
  const std::int8_t* const weights = p.weights + channel * taps * block.table.Fours() * 4;
  for (std::int64_t row = 0; row < block.count; row += kPixels) {
    AskForOutput(p, block.first + row, channel);
    Tile tile;
    Multiply(taps, run, block.At(row), weights, block.outside, tile);
    const std::int64_t at = (block.first + row) * p.at.out + channel;
#pragma GCC unroll 3
    for (std::int64_t i = 0; i < kPixels; ++i) {
      if (row + i >= block.count) break;
      if constexpr (kWhole) {
        const std::uint8_t* residual = kResidual ? p.residual + at + i * p.at.out : nullptr;
        const __m256 low = Finished(p, tile[i][0], channel, residual);
        const __m256 high = Finished(p, tile[i][1], channel + 8, kResidual ? residual + 8 : nullptr);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p.bytes + at + i * p.at.out), Packed(Rounded(low), Rounded(high)));
      } else {
        StoreSome(problem, tile[i], at + i * p.at.out, channel);
      }
    }
  }
}

}  // namespace

void ConvolveBlockAvx2(const QuantizedProblem& p, const RowBlock<std::uint8_t>& block) {
  for (std::int64_t channel = 0; channel < p.at.out; channel += kOut) {
    const bool whole = p.bytes != nullptr && channel + kOut <= p.at.out;
    const auto convolve = !whole                  ? ConvolveRows<false, false>
                          : p.residual == nullptr ? ConvolveRows<true, false>
                                                  : ConvolveRows<true, true>;
    convolve(p, block, channel);
  }
}

}  // namespace ferment::nn

#endif
