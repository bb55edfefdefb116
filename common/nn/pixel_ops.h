// SPDX-License-Identifier: Apache-2.0
//
// The colour and geometry operations of RandAugment as torchvision defines them, over a batch with a value a sample.
#pragma once

#include <torch/types.h>

namespace ferment::nn {

/// All: `pixels` [N, 3, H, W] float32 holding whole numbers 0..255; the result is the same. `factor`, `bits` and
/// `threshold` are float32 [N]. Blends truncate, as torchvision's do on uint8.
torch::Tensor Brightness(const torch::Tensor& pixels, const torch::Tensor& factor);
torch::Tensor Saturation(const torch::Tensor& pixels, const torch::Tensor& factor);
torch::Tensor Contrast(const torch::Tensor& pixels, const torch::Tensor& factor);
torch::Tensor Sharpness(const torch::Tensor& pixels, const torch::Tensor& factor);
torch::Tensor AutoContrast(const torch::Tensor& pixels);
torch::Tensor Equalize(const torch::Tensor& pixels);
/// Keeps the highest `bits` bits.
torch::Tensor Posterize(const torch::Tensor& pixels, const torch::Tensor& bits);
/// Inverts values from `threshold` on.
torch::Tensor Solarize(const torch::Tensor& pixels, const torch::Tensor& threshold);

/// Samples pixels bilinearly at `inverse` [N, 2, 3]: the source of an output pixel, in pixels from the centre. Outside
/// is `fill`. The result is not rounded.
torch::Tensor Warp(const torch::Tensor& pixels, const torch::Tensor& inverse, double fill);

/// Fills boxes [N, 4] (left, top, right, bottom; in pixels, right and bottom exclusive) with `fill`.
torch::Tensor CoverBoxes(const torch::Tensor& pixels, const torch::Tensor& boxes, double fill);

}  // namespace ferment::nn
