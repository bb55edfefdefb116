// SPDX-License-Identifier: Apache-2.0
//
// From decoded pictures to what a network sees.
#pragma once

#include <torch/types.h>

#include <span>

#include "common/dataset/pictures/image.h"

namespace ferment::nn {

/// InsightFace's, for each channel of pixels in 0..1.
inline constexpr double kPixelMean = 0.5;
inline constexpr double kPixelStd = 0.5;

/// Returns: [N, 3, size, size] float32 in 0..255, channels last in memory. A picture of another size is resized:
/// bilinear, antialiased, half-pixel centres, not rounded (torchvision v2). Throws c10::Error: call under Guard.
torch::Tensor StackPixels(std::span<const dataset::Image> images, int image_size);

/// Returns: the same, in memory that a GPU can read while the CPU goes on: uint8 where every picture has the size,
/// since a quarter travels faster. Requires: CUDA (cuda_device.h).
torch::Tensor StackPixelsForGpu(std::span<const dataset::Image> images, int image_size);

/// Returns: (x / 255 - kPixelMean) / kPixelStd, float32.
torch::Tensor Normalize(const torch::Tensor& pixels);

/// Returns: Normalize(StackPixels(images, image_size)), in one pass.
torch::Tensor StackImages(std::span<const dataset::Image> images, int image_size);

}  // namespace ferment::nn
