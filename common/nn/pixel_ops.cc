// SPDX-License-Identifier: Apache-2.0
#include "common/nn/pixel_ops.h"

#include <torch/types.h>

namespace ferment::nn {
namespace {

torch::Tensor PerSample(const torch::Tensor& values) { return values.view({-1, 1, 1, 1}); }

torch::Tensor Blend(const torch::Tensor& pixels, const torch::Tensor& other, const torch::Tensor& factor) {
  const auto ratio = PerSample(factor);
  return (ratio * pixels + (1 - ratio) * other).clamp_(0, 255).floor_();
}

torch::Tensor Gray(const torch::Tensor& pixels) {
  return (pixels.select(1, 0) * 0.2989 + pixels.select(1, 1) * 0.587 + pixels.select(1, 2) * 0.114)
      .unsqueeze(1)
      .floor_();
}

}  // namespace

torch::Tensor Brightness(const torch::Tensor& pixels, const torch::Tensor& factor) {
  return (PerSample(factor) * pixels).clamp_(0, 255).floor_();
}

torch::Tensor Saturation(const torch::Tensor& pixels, const torch::Tensor& factor) {
  return Blend(pixels, Gray(pixels), factor);
}

torch::Tensor Contrast(const torch::Tensor& pixels, const torch::Tensor& factor) {
  return Blend(pixels, Gray(pixels).mean({1, 2, 3}, /*keepdim=*/true), factor);
}

torch::Tensor Sharpness(const torch::Tensor& pixels, const torch::Tensor& factor) {
  auto kernel = torch::ones({3, 3}, pixels.options()) / 13.0;
  kernel[1][1] = 5.0 / 13.0;
  auto smooth = pixels.clone();
  constexpr std::int64_t kOne = 1;
  const at::IntArrayRef one(kOne);
  const auto inner =
      torch::conv2d(pixels, kernel.expand({3, 1, 3, 3}), {}, one, /*padding=*/"valid", one, /*groups=*/3);
  smooth.slice(2, 1, -1).slice(3, 1, -1).copy_(inner.round());
  return Blend(pixels, smooth, factor);
}

torch::Tensor AutoContrast(const torch::Tensor& pixels) {
  const auto lowest = pixels.amin({2, 3}, /*keepdim=*/true);
  const auto range = pixels.amax({2, 3}, /*keepdim=*/true) - lowest;
  const auto stretched = ((pixels - lowest) * (255.0 / range.clamp_min(1.0))).clamp_(0, 255).floor_();
  return torch::where(range > 0, stretched, pixels);
}

torch::Tensor Equalize(const torch::Tensor& pixels) {
  const auto values = pixels.reshape({-1, pixels.size(2) * pixels.size(3)}).to(torch::kInt64);
  const auto histogram =
      torch::zeros({values.size(0), 256}, values.options()).scatter_add_(1, values, torch::ones_like(values));
  const auto highest = values.amax(1, /*keepdim=*/true);
  const auto step = (values.size(1) - histogram.gather(1, highest)).floor_divide(255);
  const auto before = histogram.cumsum(1) - histogram;
  const auto safe_step = step.clamp_min(1);
  auto table = (before + safe_step.floor_divide(2)).floor_divide(safe_step).clamp_(0, 255);
  table.select(1, 0).zero_();
  return torch::where(step > 0, table.gather(1, values), values).to(torch::kFloat32).view(pixels.sizes());
}

torch::Tensor Posterize(const torch::Tensor& pixels, const torch::Tensor& bits) {
  const auto unit = torch::exp2(8 - PerSample(bits));
  return (pixels / unit).floor_() * unit;
}

torch::Tensor Solarize(const torch::Tensor& pixels, const torch::Tensor& threshold) {
  return torch::where(pixels >= PerSample(threshold), 255 - pixels, pixels);
}

torch::Tensor Warp(const torch::Tensor& pixels, const torch::Tensor& inverse, double fill) {
  const double height = static_cast<double>(pixels.size(2));
  const double width = static_cast<double>(pixels.size(3));
  // affine_grid wants coordinates in -1..1 over the picture's edges.
  const auto scale = torch::tensor({1.0, height / width, 2 / width, width / height, 1.0, 2 / height}, torch::kFloat32);
  const auto theta = inverse * scale.to(inverse.device()).view({1, 2, 3});
  const auto grid = torch::affine_grid_generator(theta, pixels.sizes(), /*align_corners=*/false);
  const auto shifted = pixels.contiguous(torch::MemoryFormat::Contiguous) - fill;
  constexpr int kBilinear = 0;
  constexpr int kZeros = 0;
  return torch::grid_sampler_2d(shifted, grid, kBilinear, kZeros, /*align_corners=*/false).add_(fill);
}

torch::Tensor CoverBoxes(const torch::Tensor& pixels, const torch::Tensor& boxes, double fill) {
  const auto x = torch::arange(pixels.size(3), pixels.device()).to(torch::kFloat32).view({1, 1, 1, -1});
  const auto y = torch::arange(pixels.size(2), pixels.device()).to(torch::kFloat32).view({1, 1, -1, 1});
  const auto side = [&](std::int64_t i) { return PerSample(boxes.select(1, i)); };
  const auto inside = (x >= side(0)) & (x < side(2)) & (y >= side(1)) & (y < side(3));
  return pixels.masked_fill(inside, fill);
}

}  // namespace ferment::nn
