// SPDX-License-Identifier: Apache-2.0
//
// A transformer encoder whose weights do not change, on a CPU: what self_attention.h computes, for inference alone.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace torch::nn {
class TransformerEncoderImpl;
}

namespace ferment::nn {

/// y = x W' + b with W as a product of matrices reads it. Shares the weights that it was made of. A value.
class PackedLinear {
 public:
  /// `weight` [O, I], `bias` [O], float32. Calls of other than `rows` rows are right too, and slower.
  PackedLinear(torch::Tensor weight, torch::Tensor bias, std::int64_t rows);

  /// [..., I] -> [..., O].
  torch::Tensor operator()(const torch::Tensor& x) const;

 private:
  torch::Tensor weight_, bias_, packed_;
  std::int64_t rows_;
};

/// Keeps a copy of the products' weights in the order in which MKL reads them, which is else made anew by every call.
/// Nothing is written down twice: heads are read where the projections lie, and the hidden layer is rectified in place.
/// Thread: any number at a time, each under a NoGradGuard, while no weight changes.
class FrozenSequence {
 public:
  /// For calls of `rows` frames in all. Requires: post-norm layers with ReLU, without a last norm; outlives this.
  FrozenSequence(const torch::nn::TransformerEncoderImpl& encoder, std::int64_t rows);

  /// `x`, `masked`, result: as EncodeSequence.
  torch::Tensor Run(const torch::Tensor& x, const torch::Tensor& masked) const;

 private:
  struct Layer {
    PackedLinear heads, joined, hidden, output;
  };

  const torch::nn::TransformerEncoderImpl& encoder_;
  std::vector<Layer> layers_;
};

}  // namespace ferment::nn
