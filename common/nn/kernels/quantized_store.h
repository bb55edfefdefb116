// SPDX-License-Identifier: Apache-2.0
//
// What follows the sums of a convolution of bytes, sixteen output channels at a time, for the tiles that have AVX-512.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "common/nn/kernels/quantized_tiles.h"

#define FERMENT_VNNI __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define FERMENT_VNNI_PART FERMENT_VNNI __attribute__((always_inline)) inline

namespace ferment::nn {

/// Returns: sixteen sums in the output's unit, with the bytes of `residual` added. Float by float as the loops for AVX2
/// do it.
template <bool kResidual>
FERMENT_VNNI_PART __m512 ScaledSums(__m512i sums, __m512 multiplier, __m512 offset, __m128i residual,
                                    __m512 residual_scale) {
  const __m512 value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), multiplier, offset);
  if constexpr (!kResidual) return value;
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(residual)), residual_scale, value);
}

/// Sixteen sums, those of `some`, to where they belong.
template <bool kResidual>
FERMENT_VNNI_PART void StoreSums(const QuantizedProblem& p, __m512i sums, std::int64_t at, std::int64_t channel,
                                 __mmask16 some) {
  __m128i residual = _mm_setzero_si128();
  if constexpr (kResidual) residual = _mm_maskz_loadu_epi8(some, p.residual + at);
  __m512 value = ScaledSums<kResidual>(sums, _mm512_loadu_ps(p.multiplier + channel),
                                       _mm512_loadu_ps(p.offset + channel), residual, _mm512_set1_ps(p.residual_scale));
  if (p.rectify) value = _mm512_max_ps(value, _mm512_setzero_ps());
  if (p.slope != nullptr) {
    value = _mm512_mask_mul_ps(value, _mm512_movepi32_mask(_mm512_castps_si512(value)), value,
                               _mm512_loadu_ps(p.slope + channel));
  }
  if (p.moved_by != 0) value = _mm512_add_ps(value, _mm512_set1_ps(p.moved_by));
  if (p.floats != nullptr) {
    _mm512_mask_storeu_ps(p.floats + at, some, value);
    return;
  }
  value = _mm512_max_ps(_mm512_min_ps(value, _mm512_set1_ps(static_cast<float>(kHighestByte))), _mm512_setzero_ps());
  _mm_mask_storeu_epi8(p.bytes + at, some, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(value)));
}

/// Returns: whether bytes come out, and nothing but the residual lies between a sum and its rounding.
FERMENT_VNNI_PART bool StoresPlainBytes(const QuantizedProblem& p) {
  return p.bytes != nullptr && !p.rectify && p.slope == nullptr && p.moved_by == 0;
}

template <bool kResidual>
FERMENT_VNNI_PART __m512i RoundedSums(const std::int32_t* sums, __m512 multiplier, __m512 offset,
                                      const std::uint8_t* residual, __m512 residual_scale) {
  __m128i bytes = _mm_setzero_si128();
  if constexpr (kResidual) bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(residual));
  const __m512 value = ScaledSums<kResidual>(_mm512_load_si512(sums), multiplier, offset, bytes, residual_scale);
  // What is far below becomes the least integer, and zero below.
  return _mm512_cvtps_epi32(_mm512_min_ps(value, _mm512_set1_ps(static_cast<float>(kHighestByte))));
}

/// `rows` of sums [rows][32], to plain bytes.
template <bool kResidual>
FERMENT_VNNI_PART void StoreWholeRows(const QuantizedProblem& p, const std::int32_t* sums, std::int64_t rows,
                                      std::int64_t at, std::int64_t channel) {
  constexpr std::int64_t kOut = kQuantizedTileOutputs;
  const __m512 multiplier0 = _mm512_loadu_ps(p.multiplier + channel), offset0 = _mm512_loadu_ps(p.offset + channel);
  const __m512 multiplier1 = _mm512_loadu_ps(p.multiplier + channel + kOut);
  const __m512 offset1 = _mm512_loadu_ps(p.offset + channel + kOut);
  const __m512 scale = _mm512_set1_ps(p.residual_scale);
  // Packing goes quarter by quarter.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const auto row = [&](const std::int32_t* from, std::int64_t to) FERMENT_VNNI {
    const std::uint8_t* const residual = kResidual ? p.residual + to : nullptr;
    return _mm512_packs_epi32(
        RoundedSums<kResidual>(from, multiplier0, offset0, residual, scale),
        RoundedSums<kResidual>(from + kOut, multiplier1, offset1, kResidual ? residual + kOut : nullptr, scale));
  };
  for (std::int64_t i = 0; i < rows; i += 2, sums += 4 * kOut, at += 2 * p.at.out) {
    const bool last = i + 1 == rows;
    const __m512i first = row(sums, at);
    const __m512i second = last ? first : row(sums + 2 * kOut, at + p.at.out);
    const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, second));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.bytes + at), _mm512_castsi512_si256(bytes));
    if (!last) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.bytes + at + p.at.out), _mm512_extracti64x4_epi64(bytes, 1));
    }
  }
}

/// `rows` of sums [rows][16 kBlocks], aligned, of output channels from `channel` on.
template <int kBlocks, bool kResidual>
FERMENT_VNNI_PART void StoreRows(const QuantizedProblem& p, const std::int32_t* sums, std::int64_t rows,
                                 std::int64_t at, std::int64_t channel) {
  constexpr std::int64_t kOut = kQuantizedTileOutputs;
  if constexpr (kBlocks == 2) {
    if (StoresPlainBytes(p) && p.at.out - channel >= 2 * kOut) {
      StoreWholeRows<kResidual>(p, sums, rows, at, channel);
      return;
    }
  }
  for (std::int64_t i = 0; i < rows; ++i, at += p.at.out) {
    for (int block = 0; block < kBlocks; ++block, sums += kOut) {
      const std::int64_t left = std::min(kOut, p.at.out - channel - kOut * block);
      StoreSums<kResidual>(p, _mm512_load_si512(sums), at + kOut * block, channel + kOut * block,
                           static_cast<__mmask16>((1U << left) - 1));
    }
  }
}

}  // namespace ferment::nn

#endif
