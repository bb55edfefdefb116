// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer.h"

#include <algorithm>

namespace ferment::worker {

Sgd::Sgd(GradientBucket& bucket, const SgdOptions& options)
    : bucket_(bucket), options_(options), momentum_(bucket.NewBuffer()), update_(bucket.NewBuffer()) {}

double Sgd::GradientNorm() const {
  return torch::linalg_vector_norm(bucket_.gradients(), 2, at::OptionalIntArrayRef(), false, torch::kFloat64)
      .item<double>();
}

void Sgd::Step(double lr, double norm) {
  torch::NoGradGuard no_grad;
  update_.copy_(bucket_.gradients());
  if (options_.grad_clip > 0) update_.mul_(std::min(1.0, options_.grad_clip / (norm + 1e-6)));
  if (options_.weight_decay > 0) {
    bucket_.DecayedPart(update_).add_(bucket_.DecayedPart(bucket_.weights()), options_.weight_decay);
  }
  momentum_.mul_(options_.momentum).add_(update_);
  if (options_.nesterov) {
    update_.add_(momentum_, options_.momentum);
    bucket_.weights().sub_(update_, lr);
  } else {
    bucket_.weights().sub_(momentum_, lr);
  }
}

}  // namespace ferment::worker
