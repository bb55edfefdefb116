// SPDX-License-Identifier: Apache-2.0
//
// What a step asks of a long vector before it trusts it: its norm, and whether every number in it is finite.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "common/nn/kernels/parallel_parts.h"

namespace ferment::worker {

/// Equal tensors give equal answers on any number of threads, so ranks that hold the same agree without asking. One
/// pass, no copy, on the CPU. `flat`: contiguous float32 or float64 there, any type elsewhere.

/// Returns: the L2 norm, summed in float64.
double Norm(const torch::Tensor& flat);
/// Returns: whether no element is infinite or NaN.
bool AllFinite(const torch::Tensor& flat);

/// Returns: the sum of term(i) for i in [0, count), in the same order on any number of threads. `term` is pure.
template <typename Sum, typename Term>
Sum SumOver(std::int64_t count, const Term& term) {
  constexpr std::int64_t kPiece = 1 << 16;  // summed by one thread
  constexpr std::int64_t kLanes = 16;       // sums side by side, for the compiler to keep in vector registers
  std::vector<Sum> sums(static_cast<std::size_t>((count + kPiece - 1) / kPiece));
  nn::ForEachPart(static_cast<std::int64_t>(sums.size()), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t piece = first; piece < last; ++piece) {
      const std::int64_t end = std::min(count, (piece + 1) * kPiece);
      std::array<Sum, kLanes> lanes = {};
      std::int64_t i = piece * kPiece;
      for (; i + kLanes <= end; i += kLanes) {
        for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[static_cast<std::size_t>(lane)] += term(i + lane);
      }
      for (; i < end; ++i) lanes[0] += term(i);
      sums[static_cast<std::size_t>(piece)] = std::accumulate(lanes.begin(), lanes.end(), Sum(0));
    }
  });
  return std::accumulate(sums.begin(), sums.end(), Sum(0));
}

}  // namespace ferment::worker
