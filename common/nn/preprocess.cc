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

/// Without fused additions, so that a picture is the same on every processor.
#if defined(__x86_64__)
#define FERMENT_BYTE_LOOPS __attribute__((target_clones("avx2", "default")))
#else
#define FERMENT_BYTE_LOOPS
#endif

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

FERMENT_BYTE_LOOPS void BlendRows(const Blend& blend, const std::uint8_t* from, std::int64_t values, float* line) {
  std::fill_n(line, values, 0.0F);
  for (const float weight : blend.weights) {
    for (std::int64_t i = 0; i < values; ++i) line[i] += weight * static_cast<float>(from[i]);
    from += values;
  }
}

/// A pixel's three values and one of the next at a time, which the next pixel overwrites.
FERMENT_BYTE_LOOPS void BlendPixels(const std::vector<Blend>& columns, const float* line, float* out) {
  using Pixel = float __attribute__((vector_size(16), aligned(4)));
  for (const Blend& column : columns) {
    const float* pixel = line + column.first * 3;
    Pixel sum = {};
    for (const float weight : column.weights) {
      sum += weight * *reinterpret_cast<const Pixel*>(pixel);
      pixel += 3;
    }
    *reinterpret_cast<Pixel*>(out) = sum;
    out += 3;
  }
}

/// Keeps what belongs to a size of pictures from one to the next, as most have one.
class Resizer {
 public:
  explicit Resizer(std::int64_t size) : size_(size), out_(static_cast<std::size_t>(size * 3 + 1)) {}

  /// Writes [size, size, 3] to `out`.
  void Resize(const dataset::Image& image, float* out) {
    if (image.height != height_) rows_ = BlendsOf(image.height, size_);
    if (image.width != width_) columns_ = BlendsOf(image.width, size_);
    height_ = image.height;
    width_ = image.width;
    const std::int64_t values = std::int64_t{width_} * 3;
    line_.resize(static_cast<std::size_t>(values + 1));
    for (const Blend& row : rows_) {
      BlendRows(row, image.rgb.data() + row.first * values, values, line_.data());
      BlendPixels(columns_, line_.data(), out_.data());
      out = std::copy_n(out_.data(), size_ * 3, out);
    }
  }

 private:
  std::int64_t size_;
  int height_ = 0, width_ = 0;
  std::vector<Blend> rows_, columns_;
  std::vector<float> line_, out_;  // with a value behind them that four at a time may reach
};

template <typename Finish>
torch::Tensor Stack(std::span<const dataset::Image> images, int image_size, const Finish& finish) {
  torch::NoGradGuard no_grad;
  const std::int64_t values = std::int64_t{image_size} * image_size * 3;
  auto stack = torch::empty({static_cast<std::int64_t>(images.size()), image_size, image_size, 3}, torch::kFloat32);
  float* out = stack.data_ptr<float>();
  Resizer resizer(image_size);
  for (const dataset::Image& image : images) {
    if (image.width == image_size && image.height == image_size) {
      std::copy_n(image.rgb.data(), values, out);
    } else {
      resizer.Resize(image, out);
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
