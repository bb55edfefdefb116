// SPDX-License-Identifier: Apache-2.0
#include "common/nn/preprocess.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace ferment::nn {
namespace {

/// Which pixels of a line make up one of the resized line, and their weights, which add up to 1.
struct Blend {
  std::int64_t first;
  std::vector<float> weights;
};

/// A triangle as wide as two pixels of the coarser line around the half-pixel centre, as torchvision v2 has it.
std::vector<Blend> BlendsOf(std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(scale, 1.0);
  std::vector<Blend> blends;
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = scale * (static_cast<double>(i) + 0.5);
    const auto first = std::max(static_cast<std::int64_t>(centre - reach + 0.5), std::int64_t{0});
    const auto last = std::min(static_cast<std::int64_t>(centre + reach + 0.5), from);
    std::vector<double> weights;
    for (std::int64_t j = first; j < last; ++j) {
      weights.push_back(std::max(0.0, 1 - std::abs((static_cast<double>(j) + 0.5 - centre) / reach)));
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    Blend blend{first, {}};
    for (const double weight : weights) blend.weights.push_back(static_cast<float>(weight / sum));
    blends.push_back(std::move(blend));
  }
  return blends;
}

void Resize(const dataset::Image& image, std::int64_t size, float* out) {
  const auto rows = BlendsOf(image.height, size);
  const auto columns = BlendsOf(image.width, size);
  const std::int64_t line_values = std::int64_t{image.width} * 3;
  std::vector<float> line(static_cast<std::size_t>(line_values));
  for (const Blend& row : rows) {
    std::fill(line.begin(), line.end(), 0.0F);
    const std::uint8_t* from = image.rgb.data() + row.first * line_values;
    for (const float weight : row.weights) {
      for (std::int64_t i = 0; i < line_values; ++i) line[static_cast<std::size_t>(i)] += weight * from[i];
      from += line_values;
    }
    for (const Blend& column : columns) {
      const float* pixel = line.data() + column.first * 3;
      float red = 0, green = 0, blue = 0;
      for (const float weight : column.weights) {
        red += weight * pixel[0];
        green += weight * pixel[1];
        blue += weight * pixel[2];
        pixel += 3;
      }
      *out++ = red;
      *out++ = green;
      *out++ = blue;
    }
  }
}

template <typename Finish>
torch::Tensor Stack(std::span<const dataset::Image> images, int image_size, const Finish& finish) {
  torch::NoGradGuard no_grad;
  const std::int64_t values = std::int64_t{image_size} * image_size * 3;
  auto stack = torch::empty({static_cast<std::int64_t>(images.size()), image_size, image_size, 3}, torch::kFloat32);
  float* out = stack.data_ptr<float>();
  for (const dataset::Image& image : images) {
    if (image.width == image_size && image.height == image_size) {
      std::copy_n(image.rgb.data(), values, out);
    } else {
      Resize(image, image_size, out);
    }
    for (std::int64_t i = 0; i < values; ++i) out[i] = finish(out[i]);
    out += values;
  }
  return stack.permute({0, 3, 1, 2});
}

}  // namespace

torch::Tensor StackPixels(std::span<const dataset::Image> images, int image_size) {
  return Stack(images, image_size, [](float pixel) { return pixel; });
}

torch::Tensor StackPixelsForGpu(std::span<const dataset::Image> images, int image_size) {
  const bool fit = std::all_of(images.begin(), images.end(), [&](const dataset::Image& image) {
    return image.width == image_size && image.height == image_size;
  });
  if (!fit) return StackPixels(images, image_size).pin_memory();
  const std::int64_t values = std::int64_t{image_size} * image_size * 3;
  auto stack = torch::empty({static_cast<std::int64_t>(images.size()), image_size, image_size, 3},
                            torch::TensorOptions(torch::kUInt8).pinned_memory(true));
  auto* out = stack.data_ptr<std::uint8_t>();
  for (const dataset::Image& image : images) out = std::copy_n(image.rgb.data(), values, out);
  return stack.permute({0, 3, 1, 2});
}

torch::Tensor Normalize(const torch::Tensor& pixels) {
  torch::NoGradGuard no_grad;
  return pixels.to(torch::kFloat32).div(255.0).sub_(kPixelMean).div_(kPixelStd);
}

torch::Tensor StackImages(std::span<const dataset::Image> images, int image_size) {
  constexpr auto kMean = static_cast<float>(kPixelMean), kStd = static_cast<float>(kPixelStd);
  return Stack(images, image_size, [](float pixel) { return (pixel / 255.0F - kMean) / kStd; });
}

}  // namespace ferment::nn
