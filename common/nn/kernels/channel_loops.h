// SPDX-License-Identifier: Apache-2.0
//
// Batch normalisation, rectifier and addition in as few passes over memory as they need.
#pragma once

#include <torch/types.h>

namespace ferment::nn {

/// What these loops take: float32, float64 or bfloat16 on a CPU, [N, C] contiguous or [N, C, H, W] channels-last.
/// Results have the layout of `x`, and the same bits on any number of threads. Of bfloat16 only what is read and
/// written for each element has that type: every number of a channel, and all arithmetic, is in float32 ("the computed
/// type").
bool HasChannelLoops(const torch::Tensor& x);

/// y = x * scale + shift (+ residual), then the larger of y and 0 if `rectify`; NaN stays NaN.
struct ChannelTransform {
  torch::Tensor scale;     // [C], the computed type
  torch::Tensor shift;     // [C]
  torch::Tensor residual;  // as x, or undefined
  bool rectify = false;
};
torch::Tensor Transform(const torch::Tensor& x, const ChannelTransform& transform);

/// Gradients through Transform. `y` is what it returned, and is looked at only where there was a residual and a
/// rectifier; else whether y was positive is computed anew, which costs less than reading it.
struct ChannelGradient {
  torch::Tensor dy;
  torch::Tensor x;
  torch::Tensor y;
  torch::Tensor mean;  // [C], the computed type
  ChannelTransform transform;
};
/// Returns: [2, C] float64, the sums of dz and of dz * (x - mean), dz being the gradient past the rectifier.
torch::Tensor GradientSums(const ChannelGradient& gradient);
/// Returns: dz * scale + (x - mean) * slope + offset, and dz itself if asked for. `slope`, `offset` [C], the
/// computed type.
struct InputGradient {
  torch::Tensor dx;
  torch::Tensor dz;
};
InputGradient GradientOfInput(const ChannelGradient& gradient, const torch::Tensor& slope, const torch::Tensor& offset,
                              bool with_dz);

}  // namespace ferment::nn
