// SPDX-License-Identifier: Apache-2.0
//
// Dropout whose masks depend on a step's bits and on an element's place in the whole batch, not on ranks or threads.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace ferment::nn {

/// Of one step. Every rank has the same bits.
struct DropoutSeed {
  std::uint64_t bits = 0;
  /// Which row of all ranks' batch this rank's first one is.
  std::int64_t first_row = 0;
};

/// The dropouts of one forward pass, one after another (Srivastava et al. 2014, scaled in training).
///
/// float32 on a CPU, dense: masks are Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011)
/// of the seed's bits, of which call this is, and of where an element lies in the batch of all ranks. They are made in
/// the loop that applies them, on all threads, and again for the gradient; none is kept. Elsewhere torch::dropout, and
/// its generator. Thread: one at a time.
class Dropout {
 public:
  /// `rate` 0 to below 1; 0 drops nothing.
  Dropout(double rate, const DropoutSeed& seed) : rate_(rate), seed_(seed) {}

  /// Each returns a tensor as `x`, whose first dimension counts the batch's rows.
  torch::Tensor Apply(const torch::Tensor& x);
  /// residual + Apply(x). Requires: both of one shape.
  torch::Tensor ApplyAndAdd(const torch::Tensor& x, const torch::Tensor& residual);
  /// Apply(max(x, 0)).
  torch::Tensor RectifyAndApply(const torch::Tensor& x);

 private:
  bool MakesMasksFor(const torch::Tensor& x) const;
  torch::Tensor Call(const torch::Tensor& x, const torch::Tensor& residual, bool rectify);

  double rate_;
  DropoutSeed seed_;
  std::uint64_t calls_ = 0;
};

}  // namespace ferment::nn
