// SPDX-License-Identifier: Apache-2.0
//
// Initial weights that depend on (seed, stream) and the order of the calls alone.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <cstdint>

namespace ferment::nn {

/// A value; each call draws from a generator of its own.
class WeightInit {
 public:
  WeightInit(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  /// Normal with deviation sqrt(2 / (output channels * kernel area)).
  void KaimingFanOut(torch::Tensor& convolution_weight);
  void Normal(torch::Tensor& weight, double deviation);
  /// torch.nn.Linear's default: uniform in +-1 / sqrt(inputs), weight and bias.
  void Linear(torch::nn::LinearImpl& linear);

 private:
  at::Generator Next();

  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t calls_ = 0;
};

}  // namespace ferment::nn
