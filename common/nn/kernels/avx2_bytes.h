// SPDX-License-Identifier: Apache-2.0
//
// From floats to the bytes of a quantized network, eight and sixteen at a time. Call where the processor has AVX2.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "common/nn/kernels/quantized_tiles.h"
#include "common/nn/kernels/wide_vectors.h"

#define FERMENT_AVX2_PART FERMENT_AVX2 __attribute__((always_inline)) inline

namespace ferment::nn {

/// Rounded to whole numbers and cut off above; below zero where Packed will cut off.
FERMENT_AVX2_PART __m256i Rounded(__m256 value) {
  return _mm256_cvtps_epi32(_mm256_min_ps(value, _mm256_set1_ps(static_cast<float>(kHighestByte))));
}

/// Returns: the sixteen as bytes.
FERMENT_AVX2_PART __m128i Packed(__m256i low, __m256i high) {
  const __m256i halves = _mm256_packs_epi32(low, high);
  const __m128i mixed = _mm_packus_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  return _mm_shuffle_epi32(mixed, _MM_SHUFFLE(3, 1, 2, 0));
}

}  // namespace ferment::nn

#endif
