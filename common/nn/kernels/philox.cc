// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/philox.h"

#include "common/nn/kernels/wide_vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ferment::nn {
namespace {

constexpr int kLanes = 8;
constexpr int kRounds = 10;
constexpr std::uint32_t kFirstFactor = 0xD2511F53;
constexpr std::uint32_t kSecondFactor = 0xCD9E8D57;
constexpr std::uint32_t kLowWeyl = 0x9E3779B9;
constexpr std::uint32_t kHighWeyl = 0xBB67AE85;

void Counter(std::uint64_t key, std::uint64_t counter, std::uint32_t* words) {
  auto low = static_cast<std::uint32_t>(key);
  auto high = static_cast<std::uint32_t>(key >> 32);
  std::uint32_t word[4] = {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0};
  for (int round = 0; round < kRounds; ++round, low += kLowWeyl, high += kHighWeyl) {
    const std::uint64_t first = std::uint64_t{kFirstFactor} * word[0];
    const std::uint64_t second = std::uint64_t{kSecondFactor} * word[2];
    word[0] = static_cast<std::uint32_t>(second >> 32) ^ word[1] ^ low;
    word[1] = static_cast<std::uint32_t>(second);
    word[2] = static_cast<std::uint32_t>(first >> 32) ^ word[3] ^ high;
    word[3] = static_cast<std::uint32_t>(first);
  }
  for (int i = 0; i < 4; ++i) words[kLanes * i] = word[i];
}

#if defined(__x86_64__)
struct Product {
  __m256i high;
  __m256i low;
};

FERMENT_AVX2 __attribute__((always_inline)) inline Product Multiply(__m256i words, __m256i factor) {
  constexpr int kOdd = 0b10101010;
  const __m256i even = _mm256_mul_epu32(words, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(words, 32), factor);
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, kOdd),
          _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), kOdd)};
}

FERMENT_AVX2 void FillOnAvx2(std::uint64_t key, std::uint64_t first, std::span<std::uint32_t> words) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i first_factor = _mm256_set1_epi32(static_cast<int>(kFirstFactor));
  const __m256i second_factor = _mm256_set1_epi32(static_cast<int>(kSecondFactor));
  for (std::size_t at = 0; at < words.size(); at += kPhiloxGroup, ++first) {
    // Eight counters from a multiple of eight: no carry between their halves.
    const std::uint64_t counter = first * kLanes;
    __m256i word[4] = {_mm256_or_si256(_mm256_set1_epi32(static_cast<int>(counter)), lanes),
                       _mm256_set1_epi32(static_cast<int>(counter >> 32)), _mm256_setzero_si256(),
                       _mm256_setzero_si256()};
    __m256i low = _mm256_set1_epi32(static_cast<int>(key));
    __m256i high = _mm256_set1_epi32(static_cast<int>(key >> 32));
    for (int round = 0; round < kRounds; ++round) {
      const Product one = Multiply(word[0], first_factor);
      const Product two = Multiply(word[2], second_factor);
      word[0] = _mm256_xor_si256(_mm256_xor_si256(two.high, word[1]), low);
      word[1] = two.low;
      word[2] = _mm256_xor_si256(_mm256_xor_si256(one.high, word[3]), high);
      word[3] = one.low;
      low = _mm256_add_epi32(low, _mm256_set1_epi32(static_cast<int>(kLowWeyl)));
      high = _mm256_add_epi32(high, _mm256_set1_epi32(static_cast<int>(kHighWeyl)));
    }
    for (int i = 0; i < 4; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(&words[at]) + i, word[i]);
  }
}
#endif

}  // namespace

void FillWithPhiloxAnywhere(std::uint64_t key, std::uint64_t first, std::span<std::uint32_t> words) {
  for (std::size_t at = 0; at < words.size(); at += kPhiloxGroup, ++first) {
    for (std::uint64_t lane = 0; lane < kLanes; ++lane) Counter(key, first * kLanes + lane, &words[at + lane]);
  }
}

void FillWithPhilox(std::uint64_t key, std::uint64_t first, std::span<std::uint32_t> words) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return FillOnAvx2(key, first, words);
#endif
  FillWithPhiloxAnywhere(key, first, words);
}

}  // namespace ferment::nn
