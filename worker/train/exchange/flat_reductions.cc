// SPDX-License-Identifier: Apache-2.0
#include "worker/train/exchange/flat_reductions.h"

#include <cmath>

#include "common/base/check.h"

namespace ferment::worker {
namespace {

template <typename T>
const T* ValuesOf(const torch::Tensor& flat) {
  FERMENT_CHECK(flat.is_contiguous()) << "a flat buffer is expected";
  return flat.const_data_ptr<T>();
}

template <typename T>
double NormOf(const torch::Tensor& flat) {
  const T* x = ValuesOf<T>(flat);
  return std::sqrt(SumOver<double>(
      flat.numel(), [x](std::int64_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); }));
}

template <typename T>
bool FiniteIn(const torch::Tensor& flat) {
  const T* x = ValuesOf<T>(flat);
  // 0 for a finite x, NaN for any other.
  return SumOver<T>(flat.numel(), [x](std::int64_t i) { return x[i] * T(0); }) == 0;
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
