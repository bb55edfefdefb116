// SPDX-License-Identifier: Apache-2.0
#include "common/nn/weight_init.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>

#include "common/base/random.h"

namespace ferment::nn {

at::Generator WeightInit::Next() { return at::detail::createCPUGenerator(RandomBits(seed_, stream_, calls_++)); }

void WeightInit::KaimingFanOut(torch::Tensor& convolution_weight) {
  const auto fan_out = convolution_weight.numel() / convolution_weight.size(1);
  Normal(convolution_weight, std::sqrt(2.0 / static_cast<double>(fan_out)));
}

void WeightInit::Normal(torch::Tensor& weight, double deviation) {
  torch::NoGradGuard no_grad;
  weight.normal_(0.0, deviation, Next());
}

void WeightInit::Linear(torch::nn::LinearImpl& linear) {
  torch::NoGradGuard no_grad;
  const double bound = 1.0 / std::sqrt(static_cast<double>(linear.weight.size(1)));
  linear.weight.uniform_(-bound, bound, Next());
  linear.bias.uniform_(-bound, bound, Next());
}

}  // namespace ferment::nn
