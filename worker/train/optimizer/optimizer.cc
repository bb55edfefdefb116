// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer/optimizer.h"

#include <ATen/ops/_fused_sgd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "worker/train/exchange/flat_reductions.h"

namespace ferment::worker {
namespace {

/// Far enough below the largest float32, 3.4e38, for all that a step computes on its way.
constexpr double kFarBelowAll = 1e30;

}  // namespace

Sgd::Sgd(GradientBucket& bucket, const SgdOptions& options)
    : bucket_(bucket), options_(options), momentum_(bucket.NewBuffer()) {}

double Sgd::GradientNorm() const { return Norm(bucket_.gradients()); }

double Sgd::ClipFactor(double norm) const {
  return options_.grad_clip > 0 ? std::min(1.0, options_.grad_clip / (norm + 1e-6)) : 1.0;
}

template <typename T>
bool Sgd::StaysFiniteAs(double lr, double norm) const {
  const T* w = bucket_.weights().const_data_ptr<T>();
  const T* g = bucket_.gradients().const_data_ptr<T>();
  const T* v = momentum_.const_data_ptr<T>();
  const double clip = ClipFactor(norm);
  const double momentum = options_.momentum;
  const bool nesterov = options_.nesterov;
  const double limit = std::numeric_limits<T>::max() / 2;
  const auto beyond = [&](std::int64_t begin, std::int64_t end, double weight_decay) {
    return SumOver<double>(end - begin, [=](std::int64_t offset) {
      const std::int64_t i = begin + offset;
      const double d = static_cast<double>(g[i]) * clip + weight_decay * static_cast<double>(w[i]);
      const double next_v = momentum * static_cast<double>(v[i]) + d;
      const double update = nesterov ? d + momentum * next_v : next_v;
      // Where momentum is not finite, neither is the update; comparisons with NaN fail.
      return std::abs(static_cast<double>(w[i]) - lr * update) <= limit && std::abs(next_v) <= limit ? 0.0 : 1.0;
    });
  };
  const std::int64_t decayed = bucket_.DecayedPart(momentum_).numel();
  return beyond(0, decayed, options_.weight_decay) + beyond(decayed, momentum_.numel(), 0) == 0;
}

Sgd::Norms Sgd::NormsAfter(const Norms& before, double lr, double norm) const {
  // The triangle inequality, on each vector of the update. NaN stays NaN.
  const double d = ClipFactor(norm) * norm + options_.weight_decay * before.weights;
  const double momentum = options_.momentum * before.momentum + d;
  const double update = options_.nesterov ? d + options_.momentum * momentum : momentum;
  return {before.weights + std::abs(lr) * update, momentum};
}

bool Sgd::StaysFinite(double lr, double norm) {
  const auto far_below = [](const Norms& norms) {
    return norms.weights < kFarBelowAll && norms.momentum < kFarBelowAll;
  };
  if (norms_ && far_below(NormsAfter(*norms_, lr, norm))) return true;
  norms_ = {Norm(bucket_.weights()), Norm(momentum_)};
  if (far_below(NormsAfter(*norms_, lr, norm))) return true;
  if (!momentum_.is_cpu()) return false;
  return momentum_.scalar_type() == torch::kFloat64 ? StaysFiniteAs<double>(lr, norm) : StaysFiniteAs<float>(lr, norm);
}

void Sgd::Step(double lr, double norm) {
  torch::NoGradGuard no_grad;
  if (norms_) norms_ = NormsAfter(*norms_, lr, norm);
  const double clip = ClipFactor(norm);
  if (clip < 1) bucket_.gradients().mul_(clip);
  const auto step = [&](torch::Tensor weights, torch::Tensor gradients, torch::Tensor momentum, double weight_decay) {
    if (weights.numel() == 0) return;
    if (options_.momentum == 0) {  // LibTorch's step would leave the buffer out
      momentum.copy_(gradients).add_(weights, weight_decay);
      weights.sub_(momentum, lr);
      return;
    }
    at::_fused_sgd_(weights, gradients, momentum, weight_decay, options_.momentum, lr, /*dampening=*/0,
                    options_.nesterov, /*maximize=*/false, /*is_first_step=*/false);
  };
  step(bucket_.DecayedPart(bucket_.weights()), bucket_.DecayedPart(bucket_.gradients()), bucket_.DecayedPart(momentum_),
       options_.weight_decay);
  step(bucket_.OtherPart(bucket_.weights()), bucket_.OtherPart(bucket_.gradients()), bucket_.OtherPart(momentum_), 0);
}

}  // namespace ferment::worker
