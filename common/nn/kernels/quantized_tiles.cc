// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/quantized_tiles.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/nn/kernels/avx2_bytes.h"

namespace ferment::nn {

QuantizedTiles FastestQuantizedTiles() {
  for (const QuantizedTiles tiles : {QuantizedTiles::kAmx, QuantizedTiles::kVnni}) {
    if (HasQuantizedTiles(tiles)) return tiles;
  }
  return QuantizedTiles::kAvx2;
}

#if defined(__x86_64__)
namespace {

constexpr std::int64_t kOut = kQuantizedTileOutputs;
/// Bytes of input that are gone through for one block of output channels after another: a quarter of a second-level
/// cache.
constexpr std::int64_t kBlockBytes = 128 * 1024;

}  // namespace

bool HasQuantizedTiles(QuantizedTiles tiles) {
  static const bool vnni = HasVectors(Vectors::kAvx512) && __builtin_cpu_supports("avx512vnni") &&
                           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl");
  static const bool amx = vnni && MayUseAmx();
  switch (tiles) {
    case QuantizedTiles::kAvx2:
      return HasVectors(Vectors::kAvx2);
    case QuantizedTiles::kVnni:
      return vnni;
    case QuantizedTiles::kAmx:
      return amx;
  }
  return false;
}

void ConvolveQuantized(const QuantizedProblem& p, QuantizedTiles tiles) {
  FERMENT_CHECK(HasQuantizedTiles(tiles));
  // For one block of outputs it does not pay to gather pixels for whole tiles.
  const bool amx = tiles == QuantizedTiles::kAmx && p.at.out > kOut;
  const auto convolve = amx ? ConvolveBlockAmx : tiles == QuantizedTiles::kAvx2 ? ConvolveBlockAvx2 : ConvolveBlockVnni;
  const RowBlocks<std::uint8_t> blocks(p.at, p.x, static_cast<std::uint8_t>(p.input_zero), kBlockBytes,
                                       amx ? kAmxPixels : kLongestTile);
  for (std::int64_t block = 0; block < blocks.count(); ++block) convolve(p, blocks.At(block));
}

FERMENT_AVX2 void QuantizeFloats(const float* x, std::int64_t count, float factor, std::int32_t zero,
                                 std::uint8_t* bytes) {
  const __m256 by = _mm256_set1_ps(factor), moved = _mm256_set1_ps(static_cast<float>(zero));
  const auto sixteen = [&](const float* from, std::uint8_t* to) FERMENT_AVX2 {
    const __m256i low = Rounded(_mm256_fmadd_ps(_mm256_loadu_ps(from), by, moved));
    const __m256i high = Rounded(_mm256_fmadd_ps(_mm256_loadu_ps(from + 8), by, moved));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), Packed(low, high));
  };
  const std::int64_t whole = count / kOut * kOut;
  for (std::int64_t first = 0; first < whole; first += kOut) sixteen(x + first, bytes + first);
  if (whole == count) return;
  float values[kOut] = {};
  std::uint8_t rounded[kOut];
  std::copy_n(x + whole, count - whole, values);
  sixteen(values, rounded);
  std::copy_n(rounded, count - whole, bytes + whole);
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

bool HasQuantizedTiles(QuantizedTiles) { return false; }
void ConvolveQuantized(const QuantizedProblem&, QuantizedTiles) { FERMENT_CHECK(false) << "the tiles are for AVX2"; }
void QuantizeFloats(const float*, std::int64_t, float, std::int32_t, std::uint8_t*) {
  FERMENT_CHECK(false) << "the tiles are for AVX2";
}
void ScaleBytes(const std::uint8_t*, std::int64_t, std::int64_t, const float*, const float*, std::uint8_t*) {
  FERMENT_CHECK(false) << "the tiles are for AVX2";
}

#endif

namespace {

/// Wherever bytes may lie.
using SixteenBytes = std::uint8_t __attribute__((vector_size(16), aligned(1)));

/// y = the largest of each channel of `rows` rows of `length` pixels.
void LargestBytes(const std::uint8_t* x, std::int64_t row_bytes, std::int64_t rows, std::int64_t length,
                  std::int64_t channels, std::uint8_t* y) {
  const auto largest = [&](auto most, std::int64_t channel) {
    using Bytes = decltype(most);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t pixel = 0; pixel < length; ++pixel) {
        const Bytes bytes = *reinterpret_cast<const Bytes*>(x + row * row_bytes + pixel * channels + channel);
        most = most > bytes ? most : bytes;
      }
    }
    *reinterpret_cast<Bytes*>(y + channel) = most;
  };
  std::int64_t channel = 0;
  for (; channel + 16 <= channels; channel += 16) largest(SixteenBytes{}, channel);
  for (; channel < channels; ++channel) largest(std::uint8_t{}, channel);
}

}  // namespace

void MaxPoolBytes(const std::uint8_t* x, std::int64_t images, std::int64_t h, std::int64_t w, std::int64_t channels,
                  std::uint8_t* y) {
  const std::int64_t oh = (h - 1) / 2 + 1, ow = (w - 1) / 2 + 1, row_bytes = w * channels;
  for (std::int64_t image = 0; image < images; ++image, x += h * row_bytes) {
    for (std::int64_t row = 0; row < oh; ++row) {
      const std::int64_t top = std::max<std::int64_t>(0, 2 * row - 1), rows = std::min(h, 2 * row + 2) - top;
      for (std::int64_t column = 0; column < ow; ++column, y += channels) {
        const std::int64_t left = std::max<std::int64_t>(0, 2 * column - 1),
                           length = std::min(w, 2 * column + 2) - left;
        LargestBytes(x + top * row_bytes + left * channels, row_bytes, rows, length, channels, y);
      }
    }
  }
}

}  // namespace ferment::nn
