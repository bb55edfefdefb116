// SPDX-License-Identifier: Apache-2.0
#include "worker/train/flat_reductions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/base/check.h"
#include "common/nn/parallel_parts.h"

namespace ferment::worker {
namespace {

/// Summed by one thread, whatever their number; the order of sums is that of the pieces.
constexpr std::int64_t kPiece = 1 << 16;
/// Sums side by side in one piece, for the compiler to keep in vector registers.
constexpr std::int64_t kLanes = 16;

/// Returns: the sum of term(x) over all elements.
template <typename T, typename Sum, typename Term>
Sum SumOf(const torch::Tensor& flat, Term term) {
  FERMENT_CHECK(flat.is_contiguous()) << "a flat buffer is expected";
  const T* values = flat.const_data_ptr<T>();
  const std::int64_t count = flat.numel();
  std::vector<Sum> sums(static_cast<std::size_t>((count + kPiece - 1) / kPiece));
  nn::ForEachPart(static_cast<std::int64_t>(sums.size()), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const T* x = values + piece * kPiece;
      const std::int64_t n = std::min(kPiece, count - piece * kPiece);
      std::array<Sum, kLanes> lanes = {};
      std::int64_t i = 0;
      for (; i + kLanes <= n; i += kLanes) {
        for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[static_cast<std::size_t>(lane)] += term(x[i + lane]);
      }
      for (; i < n; ++i) lanes[0] += term(x[i]);
      sums[static_cast<std::size_t>(piece)] = std::accumulate(lanes.begin(), lanes.end(), Sum(0));
    }
  });
  return std::accumulate(sums.begin(), sums.end(), Sum(0));
}

template <typename T>
double NormOf(const torch::Tensor& flat) {
  return std::sqrt(SumOf<T, double>(flat, [](T x) { return static_cast<double>(x) * static_cast<double>(x); }));
}

template <typename T>
bool FiniteIn(const torch::Tensor& flat) {
  // 0 for a finite x, NaN for any other.
  return SumOf<T, T>(flat, [](T x) { return x * T(0); }) == 0;
}

}  // namespace

double Norm(const torch::Tensor& flat) {
  if (!flat.is_cpu()) {
    return torch::linalg_vector_norm(flat, 2, at::OptionalIntArrayRef(), false, torch::kFloat64).item<double>();
  }
  return flat.scalar_type() == torch::kFloat64 ? NormOf<double>(flat) : NormOf<float>(flat);
}

bool AllFinite(const torch::Tensor& flat) {
  if (!flat.is_cpu()) return torch::isfinite(flat).all().item<bool>();
  return flat.scalar_type() == torch::kFloat64 ? FiniteIn<double>(flat) : FiniteIn<float>(flat);
}

}  // namespace ferment::worker
