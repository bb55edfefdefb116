// SPDX-License-Identifier: Apache-2.0
#include "common/nn/inference/activation_ranges.h"

#include <algorithm>
#include <cmath>

namespace ferment::nn {
namespace {

constexpr std::size_t kIntervals = 4096;
constexpr int kTrials = 100;
constexpr double kSmallestShare = 0.2;  // of the whole range

Quantization Over(double lowest, double highest) {
  const double scale = std::max(highest - lowest, 1e-20) / kHighestByte;
  const double zero = std::clamp(std::round(-lowest / scale), 0.0, double{kHighestByte});
  return {static_cast<float>(scale), static_cast<std::int32_t>(zero)};
}

}  // namespace

void ActivationRange::LookForEnds(const torch::Tensor& values) {
  const float lowest = values.min().item<float>();
  const float highest = values.max().item<float>();
  TORCH_CHECK(std::isfinite(lowest) && std::isfinite(highest), "an activation is not finite");
  lowest_ = std::min(lowest_, lowest);
  highest_ = std::max(highest_, highest);
}

void ActivationRange::Count(const torch::Tensor& values) {
  counts_.resize(kIntervals);
  const auto dense = values.contiguous(values.suggest_memory_format());
  const float* value = dense.const_data_ptr<float>();
  const float scale = static_cast<float>(kIntervals) / std::max(highest_ - lowest_, 1e-20F);
  for (std::int64_t i = 0; i < dense.numel(); ++i) {
    const auto interval = static_cast<std::size_t>(std::max((value[i] - lowest_) * scale, 0.0F));
    ++counts_[std::min(interval, kIntervals - 1)];
  }
}

double ActivationRange::ValueOf(std::size_t interval) const {
  return lowest_ + (static_cast<double>(interval) + 0.5) * (double{highest_} - lowest_) / kIntervals;
}

double ActivationRange::ErrorOf(const Quantization& as) const {
  double error = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    const double value = ValueOf(i);
    const double byte = std::clamp(std::round(value / as.scale) + as.zero, 0.0, double{kHighestByte});
    const double off = as.scale * (byte - as.zero) - value;
    error += static_cast<double>(counts_[i]) * off * off;
  }
  return error;
}

Quantization ActivationRange::Best() const {
  Quantization best = Over(lowest_, highest_);
  double least = ErrorOf(best);
  for (int trial = 1; trial < kTrials; ++trial) {
    const double share = 1 - (1 - kSmallestShare) * trial / kTrials;
    const Quantization as = Over(lowest_ * share, highest_ * share);
    const double error = ErrorOf(as);
    if (error >= least) continue;
    least = error;
    best = as;
  }
  return best;
}

}  // namespace ferment::nn
