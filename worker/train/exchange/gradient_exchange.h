// SPDX-License-Identifier: Apache-2.0
//
// Backward on several ranks: the sum of a part of the gradients runs while backward still makes the others.
#pragma once

#include <torch/types.h>

#include <vector>

#include "worker/trace/trace.h"
#include "worker/train/exchange/gradient_bucket.h"

namespace ferment::worker {

/// Cuts a bucket into parts of some MiB that follow each other as backward makes them: from the last layer to the
/// first, then everything that does not decay. A part's sum over ranks begins with its last gradient; parts are begun
/// in one order on all ranks, whatever order a rank's gradients come in. Does nothing on one rank.
///
/// Thread: the collective's. Bucket and ranks outlive it.
class GradientExchange {
 public:
  /// `part_bytes`: about as many bytes a part, for tests.
  GradientExchange(GradientBucket& bucket, Collective& ranks, std::int64_t part_bytes = std::int64_t{8} << 20);
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  /// Differentiates `loss`, adding to the bucket's gradients, and sums them over ranks. Every rank calls; a parameter
  /// may have no part in the loss. `trace` gets the span "autograd": what of it LibTorch takes, without the sums that
  /// are waited for after it. Errors: those of the collective.
  Status Backward(const torch::Tensor& loss, Trace* trace = nullptr);

 private:
  class Hook;
  struct Part {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    std::vector<torch::Tensor> parameters{};
    /// Gradients that the present backward has not made.
    std::size_t missing = 0;
  };

  void CutIntoParts(std::int64_t part_elements);
  void OnGradient(std::size_t part);
  /// Begins the sums of parts whose turn it is; of all that are left where `all`.
  void BeginParts(bool all);

  GradientBucket& bucket_;
  Collective& ranks_;
  std::vector<Part> parts_;  // in the order of their sums
  bool differentiating_ = false;
  std::size_t begun_ = 0;
  Status failure_;
};

}  // namespace ferment::worker
