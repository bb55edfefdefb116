// SPDX-License-Identifier: Apache-2.0
//
// What a batch normalisation computes of each channel between its passes over memory, on the CPU. In plain loops: as
// operations of LibTorch these few hundred numbers took longer than a small layer's pass over its pixels, and the other
// threads fell asleep in between.
#pragma once

#include <torch/types.h>

namespace ferment::nn {

struct ForwardNumbers {
  torch::Tensor scale, shift, mean;  // [C], the type of the weights: y = x * scale + shift
  torch::Tensor inverse_deviation;   // [C] float64
};
/// `weight`, `bias` [C], float32 or float64; `moments` [2, C] float64, mean and biased variance.
ForwardNumbers NumbersOf(const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& moments,
                         double epsilon);

struct GradientNumbers {
  torch::Tensor slope, offset;       // [C]: what GradientOfInput takes
  torch::Tensor of_weight, of_bias;  // [C]: this rank's share of their gradients
};
/// `own`, `all` [2, C] float64, what GradientSums gives of this rank's rows and of all `count` rows that made the
/// moments; 0 rows: moments are constants.
GradientNumbers NumbersOfGradient(const ForwardNumbers& forward, const torch::Tensor& own, const torch::Tensor& all,
                                  double count);

/// running = running * (1 - momentum) + (mean, variance * unbiased) * momentum, in their own type, [C].
void MoveRunning(torch::Tensor& mean, torch::Tensor& variance, const torch::Tensor& moments, double momentum,
                 double unbiased);

}  // namespace ferment::nn
