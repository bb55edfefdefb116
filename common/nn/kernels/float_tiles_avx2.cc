// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/float_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>

#include "common/nn/kernels/wide_vectors.h"

namespace ferment::nn {
namespace {

/// Twelve of the sixteen vector registers hold sums.
constexpr std::int64_t kPixels = 6;
static_assert(kPixels <= kLongestTile);
constexpr std::int64_t kOut = kFloatTileOutputs;

/// Floats of weights that are asked for ahead of their use, a cache line at each step: two kilobytes, 200 cycles.
constexpr std::int64_t kAhead = 512;

FERMENT_AVX2 void Multiply(const TapTable& table, const TileRow<float>* rows, const float* weights, const float* bias,
                           const float* outside, Vector (&sums)[kPixels][2]) {
  Vector tile[kPixels][2];  // of this function's own, so that it stays in registers
  for (auto& row : tile) {
    row[0] = *reinterpret_cast<const LooseVector*>(bias);
    row[1] = *reinterpret_cast<const LooseVector*>(bias + 8);
  }
  const std::int64_t run = table.run;
  for (std::int64_t tap = 0; tap < table.taps; ++tap) {
    const float* from[kPixels];
#pragma GCC unroll 6
    for (std::int64_t i = 0; i < kPixels; ++i) from[i] = rows[i].Tap(tap, outside);
    for (std::int64_t c = 0; c < run; ++c, weights += kOut) {
      __builtin_prefetch(weights + kAhead);
      const Vector low = *reinterpret_cast<const Vector*>(weights);
      const Vector high = *reinterpret_cast<const Vector*>(weights + 8);
#pragma GCC unroll 6
      for (std::int64_t i = 0; i < kPixels; ++i) {
        const float value = from[i][c];
        const Vector all = {value, value, value, value, value, value, value, value};
        tile[i][0] = _mm256_fmadd_ps(all, low, tile[i][0]);
        tile[i][1] = _mm256_fmadd_ps(all, high, tile[i][1]);
      }
    }
  }
  std::copy_n(&tile[0][0], kPixels * 2, &sums[0][0]);
}

FERMENT_AVX2 Vector Finished(const FloatProblem& problem, Vector value, std::int64_t channel, const float* residual) {
  if (residual != nullptr) value += *reinterpret_cast<const LooseVector*>(residual);
  if (problem.slope != nullptr) {
    value = value >= 0 ? value : value * *reinterpret_cast<const LooseVector*>(problem.slope + channel);
  }
  // So that a NaN stays one, and its record is quarantined.
  if (problem.rectify) value = value < 0 ? Vector{} : value;
  return value;
}

FERMENT_AVX2 void Store(const FloatProblem& problem, const Vector (&sums)[kPixels][2], std::int64_t first,
                        std::int64_t last, std::int64_t channel) {
  for (std::int64_t i = 0; i < std::min(kPixels, last - first); ++i) {
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t begin = channel + 8 * half;
      const std::int64_t count = std::min<std::int64_t>(8, problem.at.out - begin);
      if (count <= 0) continue;
      const std::int64_t at = (first + i) * problem.at.out + begin;
      const float* residual = problem.residual == nullptr ? nullptr : problem.residual + at;
      if (count == 8) {
        *reinterpret_cast<LooseVector*>(problem.y + at) = Finished(problem, sums[i][half], begin, residual);
        continue;
      }
      float padded[8] = {};
      if (residual != nullptr) std::copy_n(residual, count, padded);
      const Vector value = Finished(problem, sums[i][half], begin, residual == nullptr ? nullptr : padded);
      for (std::int64_t c = 0; c < count; ++c) problem.y[at + c] = value[c];
    }
  }
}

/// A tile's lines of the output and the residual are far away; they come while it is multiplied.
void AskForOutput(const FloatProblem& problem, std::int64_t first, std::int64_t last, std::int64_t channel) {
  for (std::int64_t row = first; row < std::min(first + kPixels, last); ++row) {
    const std::int64_t at = row * problem.at.out + channel;
    __builtin_prefetch(problem.y + at, 1);
    if (problem.residual != nullptr) __builtin_prefetch(problem.residual + at);
  }
}

}  // namespace

void ConvolveBlockAvx2(const FloatProblem& p, const RowBlock<float>& block, ChannelRange channels) {
  const std::int64_t depth = block.table.taps * block.table.run;
  const std::int64_t last = block.first + block.count;
  for (std::int64_t channel = channels.first; channel < channels.last; channel += kOut) {
    for (std::int64_t row = 0; row < block.count; row += kPixels) {
      Vector sums[kPixels][2];
      AskForOutput(p, block.first + row, last, channel);
      Multiply(block.table, block.At(row), p.weights + channel * depth, p.bias + channel, block.outside, sums);
      Store(p, sums, block.first + row, last, channel);
    }
  }
}

}  // namespace ferment::nn

#endif
