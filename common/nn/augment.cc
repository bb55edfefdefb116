// SPDX-License-Identifier: Apache-2.0
#include "common/nn/augment.h"

#include <torch/types.h>

#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/nn/pixel_ops.h"

namespace ferment::nn {
namespace {

constexpr double kFill = 128;
constexpr int kOperations = 2;
constexpr double kMagnitudes = 10;

enum class Operation : std::uint8_t {
  kAutoContrast,
  kEqualize,
  kBrightness,
  kColour,
  kContrast,
  kSharpness,
  kPosterize,
  kSolarize,
  kRotate,
  kShear,
  kTranslate,
  kCoverForehead,
  kCoverSquare,
  kCount,
};

RandomSequence SequenceOf(const char* view, std::uint64_t key, std::uint64_t seed, std::uint64_t epoch) {
  return {seed, RandomBits(StreamOf(view), key, epoch)};
}

using Affine = std::array<float, 6>;

Affine ToAffine(const std::array<double, 6>& values) {
  Affine affine;
  for (std::size_t i = 0; i < values.size(); ++i) affine[i] = static_cast<float>(values[i]);
  return affine;
}

torch::Tensor Stack(const std::vector<Affine>& matrices) {
  auto stack = torch::empty({static_cast<std::int64_t>(matrices.size()), 2, 3}, torch::kFloat32);
  std::memcpy(stack.mutable_data_ptr(), matrices.data(), matrices.size() * sizeof(Affine));
  return stack;
}

Affine DrawWeak(RandomSequence& random, double side) {
  const double flip = random.Uniform(0, 1) < 0.5 ? -1.0 : 1.0;
  const double angle = random.Uniform(-5, 5) * std::numbers::pi / 180;
  const double scale = random.Uniform(0.9, 1.1);
  const double x = random.Uniform(-0.06, 0.06) * side;
  const double y = random.Uniform(-0.06, 0.06) * side;
  const double c = std::cos(angle) / scale;
  const double s = std::sin(angle) / scale;
  return ToAffine({flip * c, -flip * s, x, s, c, y});
}

torch::Tensor DrawView(const char* view, const torch::Tensor& images, std::span<const std::uint64_t> keys,
                       std::uint64_t seed, std::uint64_t epoch) {
  FERMENT_CHECK(images.size(0) == static_cast<std::int64_t>(keys.size())) << "a key for each image";
  std::vector<Affine> matrices;
  for (const std::uint64_t key : keys) {
    auto random = SequenceOf(view, key, seed, epoch);
    matrices.push_back(DrawWeak(random, static_cast<double>(images.size(3))));
  }
  return Warp(images.to(torch::kFloat32), Stack(matrices).to(images.device()), kFill);
}

/// One operation as drawn for one sample. Which values count depends on the operation.
struct Draw {
  Operation operation;
  double magnitude;  // 0.1 .. 1
  double sign;
  double x;  // 0 .. 1
  double y;
};

/// The same number of values is drawn whatever comes out, so that operations do not shift each other's.
std::pair<bool, Draw> DrawOperation(RandomSequence& random) {
  const bool applied = random.Uniform(0, 1) < 0.5;
  Draw draw;
  draw.operation = static_cast<Operation>(random.Below(static_cast<std::uint64_t>(Operation::kCount)));
  draw.magnitude = (1 + static_cast<double>(random.Below(static_cast<std::uint64_t>(kMagnitudes)))) / kMagnitudes;
  draw.sign = random.Uniform(0, 1) < 0.5 ? -1.0 : 1.0;
  draw.x = random.Uniform(0, 1);
  draw.y = random.Uniform(0, 1);
  return {applied, draw};
}

Affine GeometryOf(const Draw& draw, double side) {
  const double amount = draw.sign * draw.magnitude;
  const bool vertical = draw.x < 0.5;
  if (draw.operation == Operation::kRotate) {
    const double angle = amount * 30 * std::numbers::pi / 180;
    return ToAffine({std::cos(angle), -std::sin(angle), 0, std::sin(angle), std::cos(angle), 0});
  }
  if (draw.operation == Operation::kShear) {
    return ToAffine({1, vertical ? 0 : 0.3 * amount, 0, vertical ? 0.3 * amount : 0, 1, 0});
  }
  const double shift = 0.2 * amount * side;
  return ToAffine({1, 0, vertical ? 0 : shift, 0, 1, vertical ? shift : 0});
}

std::array<float, 4> BoxOf(const Draw& draw, double side) {
  if (draw.operation == Operation::kCoverForehead) {
    return {0, 0, static_cast<float>(side), static_cast<float>(std::round(0.3 * draw.magnitude * side))};
  }
  const double half = 0.2 * draw.magnitude * side;
  const double x = draw.x * side;
  const double y = draw.y * side;
  return {static_cast<float>(x - half), static_cast<float>(y - half), static_cast<float>(x + half),
          static_cast<float>(y + half)};
}

torch::Tensor ValuesOf(const std::vector<Draw>& draws, torch::Device device) {
  std::vector<float> values;
  for (const Draw& draw : draws) {
    double value = 1 + 0.9 * draw.sign * draw.magnitude;
    if (draw.operation == Operation::kPosterize) value = 8 - std::round(4 * draw.magnitude);
    if (draw.operation == Operation::kSolarize) value = 256 - 128 * draw.magnitude;
    values.push_back(static_cast<float>(value));
  }
  return torch::tensor(values).to(device);
}

torch::Tensor Apply(const torch::Tensor& pixels, const std::vector<Draw>& draws) {
  const double side = static_cast<double>(pixels.size(3));
  switch (draws.front().operation) {
    case Operation::kAutoContrast:
      return AutoContrast(pixels);
    case Operation::kEqualize:
      return Equalize(pixels);
    case Operation::kBrightness:
      return Brightness(pixels, ValuesOf(draws, pixels.device()));
    case Operation::kColour:
      return Saturation(pixels, ValuesOf(draws, pixels.device()));
    case Operation::kContrast:
      return Contrast(pixels, ValuesOf(draws, pixels.device()));
    case Operation::kSharpness:
      return Sharpness(pixels, ValuesOf(draws, pixels.device()));
    case Operation::kPosterize:
      return Posterize(pixels, ValuesOf(draws, pixels.device()));
    case Operation::kSolarize:
      return Solarize(pixels, ValuesOf(draws, pixels.device()));
    case Operation::kRotate:
    case Operation::kShear:
    case Operation::kTranslate: {
      std::vector<Affine> matrices;
      for (const Draw& draw : draws) matrices.push_back(GeometryOf(draw, side));
      return Warp(pixels, Stack(matrices).to(pixels.device()), kFill).round_();
    }
    case Operation::kCoverForehead:
    case Operation::kCoverSquare: {
      auto boxes = torch::empty({static_cast<std::int64_t>(draws.size()), 4}, torch::kFloat32);
      for (std::size_t i = 0; i < draws.size(); ++i) {
        const auto box = BoxOf(draws[i], side);
        std::memcpy(boxes.mutable_data_ptr<float>() + 4 * i, box.data(), sizeof(box));
      }
      return CoverBoxes(pixels, boxes.to(pixels.device()),
                        draws.front().operation == Operation::kCoverForehead ? 0 : kFill);
    }
    case Operation::kCount:
      break;
  }
  return pixels;
}

}  // namespace

torch::Tensor WeakView(const torch::Tensor& images, std::span<const std::uint64_t> keys, std::uint64_t seed,
                       std::uint64_t epoch) {
  torch::NoGradGuard no_grad;
  return DrawView("augment.weak", images, keys, seed, epoch);
}

torch::Tensor StrongView(const torch::Tensor& images, std::span<const std::uint64_t> keys, std::uint64_t seed,
                         std::uint64_t epoch) {
  torch::NoGradGuard no_grad;
  auto pixels = DrawView("augment.strong.warp", images, keys, seed, epoch).round_();
  std::vector<RandomSequence> sequences;
  for (const std::uint64_t key : keys) sequences.push_back(SequenceOf("augment.strong", key, seed, epoch));
  for (int i = 0; i < kOperations; ++i) {
    std::map<Operation, std::pair<std::vector<std::int64_t>, std::vector<Draw>>> groups;
    for (std::size_t n = 0; n < keys.size(); ++n) {
      const auto [applied, draw] = DrawOperation(sequences[n]);
      if (!applied) continue;
      groups[draw.operation].first.push_back(static_cast<std::int64_t>(n));
      groups[draw.operation].second.push_back(draw);
    }
    for (const auto& [operation, group] : groups) {
      const auto rows = torch::tensor(group.first).to(pixels.device());
      pixels.index_copy_(0, rows, Apply(pixels.index_select(0, rows), group.second));
    }
  }
  return pixels;
}

}  // namespace ferment::nn
