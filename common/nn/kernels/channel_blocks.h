// SPDX-License-Identifier: Apache-2.0
//
// What the loops over channels have in common: their types, and the blocks of rows that threads share. For their
// sources alone.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <bit>
#include <type_traits>

#include "common/nn/kernels/parallel_parts.h"

// The loops are compiled for each class of processors, and the right ones chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FERMENT_PROCESSORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FERMENT_PROCESSORS
#endif
// Says of a loop that no turn of it reads what another writes.
#if defined(__GNUC__) && !defined(__clang__)
#define FERMENT_VECTORS _Pragma("GCC ivdep")
#else
#define FERMENT_VECTORS
#endif
#define FERMENT_BODY inline __attribute__((always_inline))

namespace ferment::nn {

/// Elements of a block of rows: small enough for a second-level cache, large enough that joining blocks costs nothing.
inline constexpr std::int64_t kBlockElements = 1 << 15;
/// Blocks come in so many, so that two, four or eight threads have as many each, where a block has rows enough.
inline constexpr std::int64_t kBlocksTogether = 8;
inline constexpr std::int64_t kFewestRows = 16;

struct Extent {
  std::int64_t rows;
  std::int64_t channels;

  std::int64_t block_rows() const {
    const std::int64_t full = Quotient(rows * channels, kBlockElements);
    if (full <= 1) return std::max<std::int64_t>(1, rows);
    return std::max(kFewestRows, Quotient(rows, Quotient(full, kBlocksTogether) * kBlocksTogether));
  }
  std::int64_t blocks() const { return Quotient(rows, block_rows()); }
  std::int64_t RowsIn(std::int64_t block) const { return std::min(block_rows(), rows - block * block_rows()); }
  std::int64_t Offset(std::int64_t block) const { return block * block_rows() * channels; }

  static std::int64_t Quotient(std::int64_t of, std::int64_t by) { return (of + by - 1) / by; }  // rounded up
};

inline Extent ExtentOf(const torch::Tensor& x) { return {x.size(1) == 0 ? 0 : x.numel() / x.size(1), x.size(1)}; }

/// What the loops compute in where memory holds S.
template <typename S>
using Computed = std::conditional_t<std::is_same_v<S, double>, double, float>;

FERMENT_BODY double Widen(double value) { return value; }
FERMENT_BODY float Widen(float value) { return value; }
FERMENT_BODY float Widen(c10::BFloat16 value) { return std::bit_cast<float>(std::uint32_t{value.x} << 16U); }

template <typename S>
FERMENT_BODY S Narrow(Computed<S> value) {
  if constexpr (std::is_same_v<S, c10::BFloat16>) {
    // To the nearest, to the even one of two: what processors with the type do, and in vectors.
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t nearest = (bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U;
    return {static_cast<std::uint16_t>(value != value ? 0x7fc0U : nearest), c10::BFloat16::from_bits()};
  } else {
    return value;
  }
}

/// Calls body(block, offset, extent of the block) on some thread for every block of rows.
template <typename Body>
void ForEachBlock(Extent extent, const Body& body) {
  ForEachPart(extent.blocks(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t block = first; block < last; ++block) {
      body(block, extent.Offset(block), Extent{extent.RowsIn(block), extent.channels});
    }
  });
}

/// Returns: of(a value of the type that `x` holds).
template <typename Of>
auto ByType(const torch::Tensor& x, const Of& of) {
  if (x.scalar_type() == torch::kFloat64) return of(double());
  return x.scalar_type() == torch::kBFloat16 ? of(c10::BFloat16()) : of(float());
}

}  // namespace ferment::nn
