// SPDX-License-Identifier: Apache-2.0
#include "common/nn/preprocess.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ferment::nn {
namespace {

dataset::Image Noise(int width, int height) {
  RandomSequence random(3, static_cast<std::uint64_t>(width));
  dataset::Image image{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) image.rgb.push_back(static_cast<std::uint8_t>(random.Below(256)));
  return image;
}

TEST(Preprocess, ResizesAsPyTorchsAntialiasedBilinearDoes) {
  const std::vector<std::pair<int, int>> sizes = {{112, 112}, {57, 90}, {31, 20}, {1, 1}, {250, 56}, {56, 56}};
  for (const auto& [width, height] : sizes) {
    const dataset::Image image = Noise(width, height);
    const auto bytes = torch::tensor(std::vector<int>(image.rgb.begin(), image.rgb.end()), torch::kFloat32);
    const auto planes = bytes.view({1, height, width, 3}).permute({0, 3, 1, 2}).contiguous();
    const auto expected = at::_upsample_bilinear2d_aa(planes, {56, 56}, /*align_corners=*/false);
    const auto found = StackPixels(std::span(&image, 1), 56);
    EXPECT_LE((found - expected).abs().max().item<float>(), 1e-3F) << width << "x" << height;
  }
}

TEST(Preprocess, OnePassNormalisesToTheSameBits) {
  const std::vector<dataset::Image> images = {Noise(48, 48), Noise(30, 70)};
  EXPECT_TRUE(torch::equal(StackImages(images, 48), Normalize(StackPixels(images, 48))));
}

}  // namespace
}  // namespace ferment::nn
