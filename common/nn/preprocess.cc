// SPDX-License-Identifier: Apache-2.0
#include "common/nn/preprocess.h"

#include <torch/types.h>

namespace ferment::nn {
namespace {

torch::Tensor Pixels(const dataset::Image& image) {
  // from_blob takes a mutable pointer; the tensor is only read.
  auto* bytes = const_cast<std::uint8_t*>(image.rgb.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  return torch::from_blob(bytes, {image.height, image.width, 3}, torch::kUInt8);
}

torch::Tensor Resized(const torch::Tensor& pixels, int image_size) {
  const auto planes = pixels.permute({2, 0, 1}).unsqueeze(0).to(torch::kFloat32).contiguous();
  return at::_upsample_bilinear2d_aa(planes, {image_size, image_size}, /*align_corners=*/false)
      .squeeze(0)
      .permute({1, 2, 0});
}

}  // namespace

torch::Tensor StackPixels(std::span<const dataset::Image> images, int image_size) {
  torch::NoGradGuard no_grad;
  auto stack = torch::empty({static_cast<std::int64_t>(images.size()), image_size, image_size, 3}, torch::kFloat32);
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto pixels = Pixels(images[i]);
    const bool fits = images[i].width == image_size && images[i].height == image_size;
    stack[static_cast<std::int64_t>(i)].copy_(fits ? pixels : Resized(pixels, image_size));
  }
  return stack.permute({0, 3, 1, 2});
}

torch::Tensor Normalize(const torch::Tensor& pixels) {
  torch::NoGradGuard no_grad;
  return pixels.to(torch::kFloat32).div(255.0).sub_(kPixelMean).div_(kPixelStd);
}

torch::Tensor StackImages(std::span<const dataset::Image> images, int image_size) {
  return Normalize(StackPixels(images, image_size));
}

}  // namespace ferment::nn
