// SPDX-License-Identifier: Apache-2.0
//
// The parameters of one network in one flat buffer and their gradients in another, so that a step is a few operations
// on long vectors and one sum over ranks.
#pragma once

#include <torch/types.h>

#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/nn/tensor_io.h"
#include "worker/collective/collective.h"

namespace ferment::worker {

using nn::NamedTensors;

/// Returns: elements from the begin of a tensor in a flat buffer to that of the next: each begins at a cache line on
/// the CPU, and where cuDNN may read 16 bytes at a time.
std::int64_t PaddedToAlignment(std::int64_t count);
/// Sums a flat float32 or float64 tensor over ranks, in place.
Status SumOverRanks(torch::Tensor& flat, Collective& ranks);
/// Sums figures over ranks, in place.
Status SumOverRanks(std::span<double> figures, Collective& ranks);

/// Replaces the storage of a module's parameters by views of `weights()`, and gives them gradients that are views of
/// `gradients()`, which backward adds to. Parameters of more than one dimension come first: they are the ones that
/// decay. The module must not be moved, cast, or told to zero its gradients afterwards; copying into its parameters is
/// fine.
///
/// Thread: the loop's. Owns: both buffers; keeps the module's parameters alive.
class GradientBucket {
 public:
  /// `trained` false: without gradients, for a network that follows another.
  explicit GradientBucket(torch::nn::Module& module, bool trained = true);
  GradientBucket(const GradientBucket&) = delete;
  GradientBucket& operator=(const GradientBucket&) = delete;

  /// [padded] dtype of the module; padding between parameters is 0 in both buffers and stays so.
  torch::Tensor& weights() { return weights_; }
  const torch::Tensor& weights() const { return weights_; }
  torch::Tensor& gradients() { return gradients_; }
  /// The part [0, n) of a buffer of this layout that weight decay applies to.
  torch::Tensor DecayedPart(const torch::Tensor& flat) const { return flat.narrow(0, 0, decayed_); }
  /// The rest of it.
  torch::Tensor OtherPart(const torch::Tensor& flat) const { return flat.slice(0, decayed_); }

  void ZeroGradients() { gradients_.zero_(); }
  /// Returns: a buffer of this layout, zeros.
  torch::Tensor NewBuffer() const { return torch::zeros_like(weights_); }
  /// Returns: views of `flat`, a buffer of this layout, under the parameters' names, in the module's order.
  NamedTensors Named(const torch::Tensor& flat) const;
  /// Copies tensors into `flat` by name. Errors: DataLoss naming a parameter that is missing or has another shape.
  Status Load(const NamedTensors& tensors, torch::Tensor& flat) const;
  /// A parameter and where its part of the buffers begins.
  struct Place {
    torch::Tensor parameter;
    std::int64_t offset;
  };
  /// Returns: all parameters, by ascending offset.
  std::vector<Place> Places() const;
  /// Sorted names of the parameters that do not decay: all one-dimensional ones.
  std::vector<std::string> ExcludedFromDecay() const;

 private:
  struct Slot {
    std::string name;
    torch::Tensor parameter;
    std::int64_t offset;
  };
  torch::Tensor View(const torch::Tensor& flat, const Slot& slot) const;

  std::vector<Slot> slots_;  // in the module's order
  torch::Tensor weights_;
  torch::Tensor gradients_;
  std::int64_t decayed_ = 0;
};

}  // namespace ferment::worker
