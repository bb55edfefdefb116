// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer.h"

#include <ATen/ops/_fused_sgd.h>

#include <algorithm>

#include "worker/train/flat_reductions.h"

namespace ferment::worker {

Sgd::Sgd(GradientBucket& bucket, const SgdOptions& options)
    : bucket_(bucket), options_(options), momentum_(bucket.NewBuffer()) {}

double Sgd::GradientNorm() const { return Norm(bucket_.gradients()); }

void Sgd::Step(double lr, double norm) {
  torch::NoGradGuard no_grad;
  const double clip = options_.grad_clip > 0 ? std::min(1.0, options_.grad_clip / (norm + 1e-6)) : 1.0;
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
