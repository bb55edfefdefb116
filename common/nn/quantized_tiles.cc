// SPDX-License-Identifier: Apache-2.0
#include "common/nn/quantized_tiles.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/base/check.h"
#include "common/nn/avx2_vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ferment::nn {

#if defined(__x86_64__)
namespace {

#define FERMENT_AVX2_PART FERMENT_AVX2 __attribute__((always_inline)) inline

/// Six registers hold sums in 32 bits and six in 16, of three pixels by sixteen outputs.
constexpr std::int64_t kPixels = 3;
constexpr std::int64_t kOut = kQuantizedTileOutputs;
constexpr float kHighest = 127;
/// Bytes of input that are gone through for one block of output channels after another: a quarter of a second-level
/// cache.
constexpr std::int64_t kBlockBytes = 128 * 1024;

using Tile = __m256i[kPixels][2];

/// Where a tap of each output pixel begins in its image; below zero: outside.
struct TapTable {
  std::vector<std::int32_t> starts;  // [pixel][tap]
  std::int64_t taps;
  std::int64_t run;  // bytes of a tap
};

TapTable TapsOf(const QuantizedProblem& p) {
  const std::int64_t columns = p.whole_rows ? 1 : p.shape.kernel;
  TapTable table{{}, p.shape.kernel * columns, p.in * (p.whole_rows ? p.shape.kernel : 1)};
  table.starts.reserve(static_cast<std::size_t>(p.oh * p.ow * table.taps));
  for (std::int64_t oy = 0; oy < p.oh; ++oy) {
    for (std::int64_t ox = 0; ox < p.ow; ++ox) {
      for (std::int64_t ky = 0; ky < p.shape.kernel; ++ky) {
        const std::int64_t y = oy * p.shape.stride + ky - p.shape.padding;
        for (std::int64_t kx = 0; kx < columns; ++kx) {
          const std::int64_t x = ox * p.shape.stride + kx - p.shape.padding;
          const bool inside = y >= 0 && y < p.h && x >= 0 && x < p.w;
          table.starts.push_back(inside ? static_cast<std::int32_t>((y * p.w + x) * p.in) : -1);
        }
      }
    }
  }
  return table;
}

/// Where an output pixel reads.
struct Row {
  const std::uint8_t* image;
  const std::int32_t* starts;
};

/// Returns: of the output pixels [first, last) of all images, and the last of them as often as a tile may reach beyond.
std::vector<Row> RowsOf(const QuantizedProblem& p, const TapTable& table, std::int64_t first, std::int64_t last) {
  std::vector<Row> rows;
  rows.reserve(static_cast<std::size_t>(last - first + kPixels));
  const std::int64_t pixels = p.oh * p.ow;
  for (std::int64_t row = first; row < last + kPixels - 1; ++row) {
    const std::int64_t image = std::min(row, last - 1) / pixels;
    rows.push_back({p.x + image * p.h * p.w * p.in,
                    table.starts.data() + (std::min(row, last - 1) - image * pixels) * table.taps});
  }
  return rows;
}

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

FERMENT_AVX2_PART void Multiply(std::int64_t taps, std::int64_t run, const Row* rows, const std::int8_t* weights,
                                const std::uint8_t* outside, Tile& tile) {
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
      const std::int32_t start = rows[i].starts[tap];
      from[i] = start >= 0 ? rows[i].image + start : outside;
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

/// Rounded to whole numbers and cut off above; below zero where Packed will cut off.
FERMENT_AVX2_PART __m256i Rounded(__m256 value) {
  return _mm256_cvtps_epi32(_mm256_min_ps(value, _mm256_set1_ps(kHighest)));
}

/// Returns: the sixteen as bytes.
FERMENT_AVX2_PART __m128i Packed(__m256i low, __m256i high) {
  const __m256i halves = _mm256_packs_epi32(low, high);
  const __m128i mixed = _mm_packus_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  return _mm_shuffle_epi32(mixed, _MM_SHUFFLE(3, 1, 2, 0));
}

/// Where not all sixteen exist, or floats come out.
FERMENT_AVX2 void StoreSome(const QuantizedProblem& p, const __m256i (&sums)[2], std::int64_t at,
                            std::int64_t channel) {
  const auto count = static_cast<std::size_t>(std::min(kOut, p.out - channel));
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
  for (std::int64_t at = row * p.out + channel; at < (row + kPixels) * p.out; at += p.out) {
    if (p.bytes != nullptr) __builtin_prefetch(p.bytes + at, 1);
    if (p.residual != nullptr) __builtin_prefetch(p.residual + at);
  }
}

/// All tiles of one block of output channels. `kWhole`: all sixteen of them exist, and bytes come out.
template <bool kWhole, bool kResidual>
FERMENT_AVX2 void ConvolveRows(const QuantizedProblem& problem, const TapTable& table, const std::vector<Row>& rows,
                               std::int64_t first, std::int64_t channel, const std::uint8_t* outside) {
  // Copies, as a stored byte might be anything else to the compiler.
  const QuantizedProblem p = problem;
  const std::int64_t taps = table.taps, run = table.run;
  const std::int8_t* const weights = p.weights + channel * taps * ((run + 3) / 4 * 4);
  const Row* const begin = rows.data();
  const auto count = static_cast<std::int64_t>(rows.size()) - kPixels + 1;
  for (std::int64_t row = 0; row < count; row += kPixels) {
    AskForOutput(p, first + row, channel);
    Tile tile;
    Multiply(taps, run, begin + row, weights, outside, tile);
    const std::int64_t at = (first + row) * p.out + channel;
#pragma GCC unroll 3
    for (std::int64_t i = 0; i < kPixels; ++i) {
      if (row + i >= count) break;
      if constexpr (kWhole) {
        const std::uint8_t* residual = kResidual ? p.residual + at + i * p.out : nullptr;
        const __m256 low = Finished(p, tile[i][0], channel, residual);
        const __m256 high = Finished(p, tile[i][1], channel + 8, kResidual ? residual + 8 : nullptr);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p.bytes + at + i * p.out), Packed(Rounded(low), Rounded(high)));
      } else {
        StoreSome(problem, tile[i], at + i * p.out, channel);
      }
    }
  }
}

}  // namespace

bool HasQuantizedTiles() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}

void ConvolveQuantized(const QuantizedProblem& p) {
  const TapTable table = TapsOf(p);
  const std::vector<std::uint8_t> outside(static_cast<std::size_t>(table.run) + 4,
                                          static_cast<std::uint8_t>(p.input_zero));
  const std::int64_t rows = p.images * p.oh * p.ow;
  const std::int64_t block = std::clamp<std::int64_t>(kBlockBytes / table.run / kPixels, 4, 512) * kPixels;
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const auto part = RowsOf(p, table, begin, std::min(rows, begin + block));
    for (std::int64_t channel = 0; channel < p.out; channel += kOut) {
      const bool whole = p.bytes != nullptr && channel + kOut <= p.out;
      const auto convolve = !whole                  ? ConvolveRows<false, false>
                            : p.residual == nullptr ? ConvolveRows<true, false>
                                                    : ConvolveRows<true, true>;
      convolve(p, table, part, begin, channel, outside.data());
    }
  }
}

FERMENT_AVX2 void QuantizeFloats(const float* x, std::int64_t count, float factor, std::int32_t zero,
                                 std::uint8_t* bytes) {
  for (std::int64_t first = 0; first < count; first += kOut) {
    const std::int64_t length = std::min(kOut, count - first);
    float values[kOut] = {};
    std::copy_n(x + first, length, values);
    const __m256 by = _mm256_set1_ps(factor), moved = _mm256_set1_ps(static_cast<float>(zero));
    const __m256i low = Rounded(_mm256_fmadd_ps(_mm256_loadu_ps(values), by, moved));
    const __m256i high = Rounded(_mm256_fmadd_ps(_mm256_loadu_ps(values + 8), by, moved));
    std::uint8_t rounded[kOut];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(rounded), Packed(low, high));
    std::copy_n(rounded, length, bytes + first);
  }
}

FERMENT_AVX2 void ScaleBytes(const std::uint8_t* x, std::int64_t pixels, std::int64_t channels, const float* factor,
                             const float* offset, std::uint8_t* y) {
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel, x += channels, y += channels) {
    for (std::int64_t channel = 0; channel < channels; channel += 8) {
      const std::int64_t length = std::min<std::int64_t>(8, channels - channel);
      std::uint8_t eight[8] = {};
      float factors[8] = {}, offsets[8] = {};
      std::copy_n(x + channel, length, eight);
      std::copy_n(factor + channel, length, factors);
      std::copy_n(offset + channel, length, offsets);
      const __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<__m128i*>(eight))));
      const __m256i rounded = Rounded(_mm256_fmadd_ps(value, _mm256_loadu_ps(factors), _mm256_loadu_ps(offsets)));
      std::uint8_t bytes[kOut];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes), Packed(rounded, rounded));
      std::copy_n(bytes, length, y + channel);
    }
  }
}

#else

bool HasQuantizedTiles() { return false; }
void ConvolveQuantized(const QuantizedProblem&) { FERMENT_CHECK(false) << "the tiles are for AVX2"; }
void QuantizeFloats(const float*, std::int64_t, float, std::int32_t, std::uint8_t*) {
  FERMENT_CHECK(false) << "the tiles are for AVX2";
}
void ScaleBytes(const std::uint8_t*, std::int64_t, std::int64_t, const float*, const float*, std::uint8_t*) {
  FERMENT_CHECK(false) << "the tiles are for AVX2";
}

#endif

FERMENT_AVX2 void MaxPoolBytes(const std::uint8_t* x, std::int64_t images, std::int64_t h, std::int64_t w,
                               std::int64_t channels, std::uint8_t* y) {
  const std::int64_t oh = (h - 1) / 2 + 1;
  const std::int64_t ow = (w - 1) / 2 + 1;
  for (std::int64_t image = 0; image < images; ++image, x += h * w * channels) {
    for (std::int64_t row = 0; row < oh; ++row) {
      for (std::int64_t column = 0; column < ow; ++column, y += channels) {
        std::fill_n(y, channels, std::uint8_t{0});
        for (std::int64_t ky = std::max<std::int64_t>(0, 2 * row - 1); ky <= std::min(h - 1, 2 * row + 1); ++ky) {
          for (std::int64_t kx = std::max<std::int64_t>(0, 2 * column - 1); kx <= std::min(w - 1, 2 * column + 1);
               ++kx) {
            const std::uint8_t* from = x + (ky * w + kx) * channels;
            for (std::int64_t c = 0; c < channels; ++c) y[c] = std::max(y[c], from[c]);
          }
        }
      }
    }
  }
}

}  // namespace ferment::nn
