// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution_tiles.h"

#include <algorithm>
#include <cstdint>

#include "common/base/instruction_set.h"
#include "common/nn/avx2_vectors.h"

namespace ferment::nn {
namespace {

/// Twelve of the sixteen vector registers hold sums.
constexpr std::int64_t kPixels = 6;
constexpr std::int64_t kOut = 16;
/// Below so many input channels a tap is too short a loop: a kernel's row is read as one tap from a padded copy.
constexpr std::int64_t kShortTap = 16;
/// Floats of input that are gone through for one block of output channels after another: half of a second-level cache.
constexpr std::int64_t kBlockFloats = 64 * 1024;

/// Floats of weights that are asked for ahead of their use, a cache line at each step: two kilobytes, 200 cycles.
constexpr std::int64_t kAhead = 512;

/// One call, as its memory lies. A tap is `run` floats in a row of the input.
struct Problem {
  const float* x;
  std::int64_t image_floats;
  std::int64_t pixels;             // of an output image
  std::vector<std::int32_t> taps;  // [pixel][tap]: where it begins in its image; below zero: outside, zeros
  std::int64_t taps_each;
  std::int64_t run;
  const float* weights;
  const float* bias;
  float* y;
  std::int64_t rows;  // output pixels of all images
  std::int64_t out;
  const float* residual;
  const float* slope;
  bool rectify;
};

struct Geometry {
  std::int64_t h, w, in, oh, ow;
};

std::vector<std::int32_t> TapTable(const Geometry& at, const ConvolutionShape& shape, bool whole_rows) {
  const std::int64_t columns = whole_rows ? 1 : shape.kernel;
  std::vector<std::int32_t> table(static_cast<std::size_t>(at.oh * at.ow * shape.kernel * columns));
  auto* entry = table.data();
  for (std::int64_t oy = 0; oy < at.oh; ++oy) {
    for (std::int64_t ox = 0; ox < at.ow; ++ox) {
      for (std::int64_t ky = 0; ky < shape.kernel; ++ky) {
        const std::int64_t y = oy * shape.stride + ky - shape.padding;
        for (std::int64_t kx = 0; kx < columns; ++kx) {
          const std::int64_t x = ox * shape.stride + kx - shape.padding;
          const bool inside = y >= 0 && y < at.h && x >= 0 && x < at.w;
          *entry++ = inside ? static_cast<std::int32_t>((y * at.w + x) * at.in) : -1;
        }
      }
    }
  }
  return table;
}

/// Where the six pixels of a tile read.
struct TileInput {
  const float* image[kPixels];
  const std::int32_t* taps[kPixels];
};

TileInput InputOf(const Problem& problem, std::int64_t first, std::int64_t last) {
  TileInput input;
  for (std::int64_t i = 0; i < kPixels; ++i) {
    const std::int64_t row = std::min(first + i, last - 1);
    const std::int64_t image = row / problem.pixels;
    input.image[i] = problem.x + image * problem.image_floats;
    input.taps[i] = problem.taps.data() + (row - image * problem.pixels) * problem.taps_each;
  }
  return input;
}

FERMENT_AVX2 void Multiply(const Problem& problem, const TileInput& input, const float* weights, const float* bias,
                           const float* zeros, Vector (&sums)[kPixels][2]) {
  Vector tile[kPixels][2];  // of this function's own, so that it stays in registers
  for (auto& row : tile) {
    row[0] = *reinterpret_cast<const LooseVector*>(bias);
    row[1] = *reinterpret_cast<const LooseVector*>(bias + 8);
  }
  const std::int64_t run = problem.run;
  for (std::int64_t tap = 0; tap < problem.taps_each; ++tap) {
    const float* from[kPixels];
#pragma GCC unroll 6
    for (std::int64_t i = 0; i < kPixels; ++i) {
      const std::int32_t at = input.taps[i][tap];
      from[i] = at >= 0 ? input.image[i] + at : zeros;
    }
    for (std::int64_t c = 0; c < run; ++c, weights += kOut) {
      __builtin_prefetch(weights + kAhead);
      const Vector low = *reinterpret_cast<const Vector*>(weights);
      const Vector high = *reinterpret_cast<const Vector*>(weights + 8);
#pragma GCC unroll 6
      for (std::int64_t i = 0; i < kPixels; ++i) {
        const float value = from[i][c];
        const Vector all = {value, value, value, value, value, value, value, value};
        tile[i][0] += all * low;
        tile[i][1] += all * high;
      }
    }
  }
  std::copy_n(&tile[0][0], kPixels * 2, &sums[0][0]);
}

FERMENT_AVX2 Vector Finished(const Problem& problem, Vector value, std::int64_t channel, const float* residual) {
  if (residual != nullptr) value += *reinterpret_cast<const LooseVector*>(residual);
  if (problem.slope != nullptr) {
    value = value >= 0 ? value : value * *reinterpret_cast<const LooseVector*>(problem.slope + channel);
  }
  // So that a NaN stays one, and its record is quarantined.
  if (problem.rectify) value = value < 0 ? Vector{} : value;
  return value;
}

FERMENT_AVX2 void Store(const Problem& problem, const Vector (&sums)[kPixels][2], std::int64_t first, std::int64_t last,
                        std::int64_t channel) {
  for (std::int64_t i = 0; i < std::min(kPixels, last - first); ++i) {
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t begin = channel + 8 * half;
      const std::int64_t count = std::min<std::int64_t>(8, problem.out - begin);
      if (count <= 0) continue;
      const std::int64_t at = (first + i) * problem.out + begin;
      const float* residual = problem.residual == nullptr ? nullptr : problem.residual + at;
      if (count == 8) {
        *reinterpret_cast<LooseVector*>(problem.y + at) = Finished(problem, sums[i][half], begin, residual);
        continue;
      }
      float padded[8] = {};
      if (residual != nullptr) std::copy_n(residual, count, padded);
      const Vector value = Finished(problem, sums[i][half], begin, residual == nullptr ? nullptr : padded);
      for (std::int64_t c = 0; c < count; ++c) problem.y[at + c] = value[c];
    }
  }
}

/// A tile's lines of the output and the residual are far away; they come while it is multiplied.
void AskForOutput(const Problem& problem, std::int64_t first, std::int64_t last, std::int64_t channel) {
  for (std::int64_t row = first; row < std::min(first + kPixels, last); ++row) {
    const std::int64_t at = row * problem.out + channel;
    __builtin_prefetch(problem.y + at, 1);
    if (problem.residual != nullptr) __builtin_prefetch(problem.residual + at);
  }
}

void Convolve(const Problem& problem) {
  const std::vector<float> zeros(static_cast<std::size_t>(problem.run));
  const std::int64_t depth = problem.taps_each * problem.run;
  const std::int64_t block = std::clamp<std::int64_t>(kBlockFloats / problem.run / kPixels, 4, 256) * kPixels;
  for (std::int64_t begin = 0; begin < problem.rows; begin += block) {
    const std::int64_t end = std::min(problem.rows, begin + block);
    for (std::int64_t channel = 0; channel < problem.out; channel += kOut) {
      for (std::int64_t row = begin; row < end; row += kPixels) {
        Vector sums[kPixels][2];
        AskForOutput(problem, row, end, channel);
        Multiply(problem, InputOf(problem, row, end), problem.weights + channel * depth, problem.bias + channel,
                 zeros.data(), sums);
        Store(problem, sums, row, end, channel);
      }
    }
  }
}

/// Returns: [channels rounded up to whole blocks], zeros at the end.
torch::Tensor WholeBlocks(const torch::Tensor& values) {
  const std::int64_t channels = values.size(0);
  auto whole = torch::zeros({(channels + kOut - 1) / kOut * kOut}, torch::kFloat32);
  whole.slice(0, 0, channels).copy_(values);
  return whole;
}

/// Returns: [images][h][w][in] with the images of `x` in the middle and zeros around them.
torch::Tensor PaddedCopy(const torch::Tensor& x, const Geometry& with_padding, std::int64_t padding) {
  const auto& [h, w, in, oh, ow] = with_padding;
  auto padded = torch::zeros({x.size(0), h, w, in}, torch::kFloat32);
  const std::int64_t row_floats = x.size(3) * in;
  const float* from = x.const_data_ptr<float>();
  for (std::int64_t image = 0; image < x.size(0); ++image) {
    for (std::int64_t y = padding; y < h - padding; ++y, from += row_floats) {
      std::copy_n(from, row_floats, padded.data_ptr<float>() + ((image * h + y) * w + padding) * in);
    }
  }
  return padded;
}

const float* DataOf(const torch::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }

}  // namespace

bool ConvolutionTiles::SuitThisProcessor() {
  static const bool suit = InstructionSetClass() == "avx2" && __builtin_cpu_supports("fma");
  return suit;
}

ConvolutionTiles::ConvolutionTiles(const torch::Tensor& weight, const torch::Tensor& bias,
                                   const ConvolutionShape& shape)
    : bias_(WholeBlocks(bias)), in_(weight.size(1)), out_(weight.size(0)), shape_(shape) {
  const std::int64_t depth = shape.kernel * shape.kernel * in_;
  auto rows = torch::zeros({bias_.size(0), depth}, torch::kFloat32);
  rows.slice(0, 0, out_).copy_(weight.permute({0, 2, 3, 1}).reshape({out_, depth}));
  packed_ = rows.view({-1, kOut, depth}).transpose(1, 2).contiguous();
}

torch::Tensor ConvolutionTiles::Run(const torch::Tensor& x, const Epilogue& epilogue) const {
  const std::int64_t images = x.size(0);
  const Geometry real{.h = x.size(2),
                      .w = x.size(3),
                      .in = in_,
                      .oh = (x.size(2) + 2 * shape_.padding - shape_.kernel) / shape_.stride + 1,
                      .ow = (x.size(3) + 2 * shape_.padding - shape_.kernel) / shape_.stride + 1};
  auto y = torch::empty({images, out_, real.oh, real.ow}, x.options().memory_format(torch::MemoryFormat::ChannelsLast));
  const bool whole_rows = in_ < kShortTap && shape_.kernel > 1;
  Geometry geometry = real;
  ConvolutionShape shape = shape_;
  torch::Tensor padded = x;
  if (whole_rows) {
    geometry.h += 2 * shape.padding;
    geometry.w += 2 * shape.padding;
    padded = PaddedCopy(x, geometry, shape.padding);
    shape.padding = 0;
  }
  Problem problem{.x = padded.const_data_ptr<float>(),
                  .image_floats = geometry.h * geometry.w * in_,
                  .pixels = geometry.oh * geometry.ow,
                  .taps = TapTable(geometry, shape, whole_rows),
                  .taps_each = shape.kernel * (whole_rows ? 1 : shape.kernel),
                  .run = in_ * (whole_rows ? shape.kernel : 1),
                  .weights = packed_.const_data_ptr<float>(),
                  .bias = bias_.const_data_ptr<float>(),
                  .y = y.data_ptr<float>(),
                  .rows = images * geometry.oh * geometry.ow,
                  .out = out_,
                  .residual = DataOf(epilogue.residual),
                  .slope = nullptr,
                  .rectify = epilogue.rectify};
  const torch::Tensor slope = epilogue.slope.defined() ? WholeBlocks(epilogue.slope) : torch::Tensor();
  problem.slope = DataOf(slope);
  Convolve(problem);
  return y;
}

}  // namespace ferment::nn
