// SPDX-License-Identifier: Apache-2.0
#include "common/nn/pixel_ops.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <cstring>
#include <string>

#include "common/io/formats/npz_file.h"

namespace ferment::nn {
namespace {

torch::Tensor Fixture(const std::string& name) {
  const auto array = io::ReadNpy(std::string(FERMENT_FIXTURES) + "/augment/" + name + ".npy");
  EXPECT_TRUE(array) << name;
  auto pixels = torch::empty(array->shape, torch::kUInt8);
  std::memcpy(pixels.mutable_data_ptr(), array->data.data(), array->data.size());
  return pixels.permute({2, 0, 1}).unsqueeze(0).to(torch::kFloat32).contiguous();
}

torch::Tensor Value(double value) { return torch::tensor({static_cast<float>(value)}); }

/// Twice in one batch, so that a value a sample is exercised.
void ExpectExact(const torch::Tensor& got, const std::string& name) {
  const auto difference = (got - Fixture(name)).abs();
  EXPECT_LE(difference.max().item<float>(), 1.0F) << name;
  EXPECT_LE((difference > 0).to(torch::kFloat32).mean().item<float>(), 0.002F) << name;
}

TEST(PixelOps, ColourOperationsAreTorchvisions) {
  const auto input = Fixture("input_48");
  for (const std::string magnitude : {"0.5", "-0.5", "0.9"}) {
    const auto factor = Value(1 + std::stod(magnitude));
    ExpectExact(Brightness(input, factor), "tensor_brightness_" + magnitude);
    ExpectExact(Saturation(input, factor), "tensor_color_" + magnitude);
    ExpectExact(Contrast(input, factor), "tensor_contrast_" + magnitude);
    ExpectExact(Sharpness(input, factor), "tensor_sharpness_" + magnitude);
  }
  ExpectExact(Posterize(input, Value(4)), "tensor_posterize_4");
  ExpectExact(Posterize(input, Value(6)), "tensor_posterize_6");
  ExpectExact(Solarize(input, Value(128)), "tensor_solarize_128");
  ExpectExact(Solarize(input, Value(200)), "tensor_solarize_200");
  ExpectExact(AutoContrast(input), "tensor_autocontrast_0");
  ExpectExact(Equalize(input), "tensor_equalize_0");
}

torch::Tensor Matrix(double a, double b, double x, double c, double d, double y) {
  return torch::tensor({a, b, x, c, d, y}, torch::kFloat32).view({1, 2, 3});
}

TEST(PixelOps, WarpsAreTorchvisions) {
  const auto input = Fixture("input_48");
  ExpectExact(Warp(input, Matrix(1, 0, -5, 0, 1, 0), 0).round(), "tensor_translatex_5");
  ExpectExact(Warp(input, Matrix(1, 0, 0, 0, 1, 11), 0).round(), "tensor_translatey_-11");
  const double angle = 15 * M_PI / 180;
  const auto turned = Warp(input, Matrix(std::cos(angle), -std::sin(angle), 0, std::sin(angle), std::cos(angle), 0), 0);
  ExpectExact(turned.round(), "tensor_rotate_15_bilinear");
}

TEST(PixelOps, AFlatPictureStaysFlat) {
  const auto flat = torch::full({2, 3, 8, 8}, 77.0F);
  EXPECT_TRUE(torch::equal(AutoContrast(flat), flat));
  EXPECT_TRUE(torch::equal(Equalize(flat), flat));
}

}  // namespace
}  // namespace ferment::nn
