// SPDX-License-Identifier: Apache-2.0
//
// torch.optim.SGD over flat buffers, with the clip of docs/method.md, rule 6.
#pragma once

#include <optional>

#include "worker/train/exchange/gradient_bucket.h"

namespace ferment::worker {

struct SgdOptions {
  double momentum = 0.9;
  bool nesterov = true;
  /// On parameters of more than one dimension only.
  double weight_decay = 0;
  /// Largest L2 norm of the whole gradient; 0 = off.
  double grad_clip = 0;
};

/// g <- g * min(1, clip / (norm + 1e-6)), in the bucket; then, leaving the bucket's gradients so, d = g + wd * w;
/// v <- momentum * v + d; w <- w - lr * (d + momentum * v, or v). Momentum starts at 0.
class Sgd {
 public:
  Sgd(GradientBucket& bucket, const SgdOptions& options);

  /// Returns: the L2 norm of the bucket's gradients, in double.
  double GradientNorm() const;
  /// Requires of both: `norm` = GradientNorm().
  void Step(double lr, double norm);
  /// Returns: whether weights and momentum would be finite after Step(lr, norm), and no larger than half of the
  /// largest number; on a GPU, whether norms say so. Changes neither. Norms cannot grow by more than a step's own, so
  /// in all but broken training the answer takes no look at the numbers.
  bool StaysFinite(double lr, double norm);
  /// To be told by whoever writes other weights or momentum into the buffers between steps.
  void Forget() { norms_.reset(); }

  const SgdOptions& options() const { return options_; }
  /// The momentum buffer, in the bucket's layout.
  torch::Tensor& momentum() { return momentum_; }

 private:
  /// L2 norms of weights and momentum, which may be less.
  struct Norms {
    double weights = 0;
    double momentum = 0;
  };
  double ClipFactor(double norm) const;
  Norms NormsAfter(const Norms& before, double lr, double norm) const;
  template <typename T>
  bool StaysFiniteAs(double lr, double norm) const;

  GradientBucket& bucket_;
  const SgdOptions options_;
  torch::Tensor momentum_;
  std::optional<Norms> norms_;
};

}  // namespace ferment::worker
