// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/weight_gradient.h"

#include <algorithm>

#include "common/nn/kernels/parallel_parts.h"
#include "common/nn/kernels/wide_vectors.h"

namespace ferment::nn {
namespace {

/// A tile of sums. AVX2: 6 output by 16 input channels, twelve of sixteen vector registers. AVX-512: 8 by 32, sixteen
/// of 32: ten loads for sixteen products, and most layers are whole tiles.
constexpr std::int64_t kOutAvx2 = 6;
constexpr std::int64_t kOutAvx512 = 8;
constexpr std::int64_t kIn = 16;
/// Pixels of all images up to which it was faster than oneDNN's own for AVX-512 (docs/decisions/0026).
constexpr std::int64_t kMostPixelsAvx512 = 4'096;
/// Pixels that are summed up in registers: panels of 16 or 32 input channels by so many are half of a first-level
/// cache, or two thirds of one with AVX-512.
constexpr std::int64_t kDepth = 256;
/// Panels of kOut x kDepth are apart by what keeps their starts in different cache sets.
template <std::int64_t kOut>
constexpr std::int64_t kOutPanel = kOut* kDepth + 16;
constexpr std::int64_t kLine = 16;  // floats of a cache line
/// One line of the next panels is asked for at every so many pixels of a tile.
constexpr std::int64_t kAskEvery = 8;

/// One convolution, as its memory lies.
struct Problem {
  const float* x;   // [n][h][w][in]
  const float* dy;  // [n][oh][ow][out]
  float* dw;        // [out][kernel][kernel][in]
  std::int64_t n, h, w, in, oh, ow, out;
  ConvolutionShape shape;
  std::int64_t out_block;  // output channels of a tile

  std::int64_t pixels() const { return n * oh * ow; }
  std::int64_t taps() const { return shape.kernel * shape.kernel; }
  std::int64_t out_blocks() const { return (out + out_block - 1) / out_block; }
  std::int64_t in_blocks() const { return in / kIn; }
};

/// Memory that the next panels will be copied from, asked for while tiles are multiplied.
struct Ahead {
  struct Range {
    const float* begin;
    const float* end;
  };
  Range ranges[2];
  int current = 0;

  /// Returns: where the next lines of one tile are; runs into the range's neighbourhood at most.
  const float* Take() {
    if (ranges[current].begin >= ranges[current].end && current == 0) current = 1;
    const float* lines = ranges[current].begin;
    if (lines < ranges[current].end) ranges[current].begin += kDepth / kAskEvery * kLine;
    return lines;
  }
};

/// Adds the product of two panels to, or stores it as, the tile at `sums`, whose rows are `stride` apart.
FERMENT_AVX2 void TileAvx2(const float* out_panel, const float* in_panel, std::int64_t depth, float* sums,
                           std::int64_t stride, std::int64_t rows, bool add, const float* ahead) {
  for (std::int64_t r = 0; r < rows; ++r) {
    __builtin_prefetch(sums + r * stride, 1);
    __builtin_prefetch(sums + r * stride + kIn - 1, 1);
  }
  Vector tile[kOutAvx2][2] = {};
  for (std::int64_t p = 0; p < depth; ++p) {
    if (p % kAskEvery == 0) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += kLine;
    }
    const Vector low = *reinterpret_cast<const Vector*>(in_panel + p * kIn);
    const Vector high = *reinterpret_cast<const Vector*>(in_panel + p * kIn + 8);
#pragma GCC unroll 6
    for (std::int64_t r = 0; r < kOutAvx2; ++r) {
      const float y = out_panel[p * kOutAvx2 + r];
      const Vector all = {y, y, y, y, y, y, y, y};
      tile[r][0] += all * low;
      tile[r][1] += all * high;
    }
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    auto* row = reinterpret_cast<LooseVector*>(sums + r * stride);
    row[0] = add ? row[0] + tile[r][0] : tile[r][0];
    row[1] = add ? row[1] + tile[r][1] : tile[r][1];
  }
}

/// The same, 8 by 16 a panel of inputs; panels lie behind each other.
template <int kPanels>
FERMENT_AVX512 void TileAvx512(const float* out_panel, const float* in_panels, std::int64_t depth, float* sums,
                               std::int64_t stride, std::int64_t rows, bool add, const float* ahead) {
  for (std::int64_t r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) __builtin_prefetch(sums + r * stride + i * kIn, 1);
  }
  LongVector tile[kOutAvx512][kPanels] = {};
  for (std::int64_t p = 0; p < depth; ++p) {
    if (p % kAskEvery == 0) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += kLine;
    }
    LongVector in[kPanels];
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) {
      in[i] = *reinterpret_cast<const LongVector*>(in_panels + (i * kDepth + p) * kIn);
    }
#pragma GCC unroll 8
    for (std::int64_t r = 0; r < kOutAvx512; ++r) {
#pragma GCC unroll 2
      for (int i = 0; i < kPanels; ++i) tile[r][i] += out_panel[p * kOutAvx512 + r] * in[i];
    }
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    auto* row = reinterpret_cast<LooseLongVector*>(sums + r * stride);
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) row[i] = add ? row[i] + tile[r][i] : tile[r][i];
  }
}

/// Copies the output channels [first, last) * kOut of pixels [begin, begin + depth) into panels [channel block][pixel]
/// [kOut], zeros where the channels end.
template <std::int64_t kOut>
FERMENT_AVX2 void PackOut(const Problem& problem, std::int64_t begin, std::int64_t depth, std::int64_t first,
                          std::int64_t last, float* panels) {
  const std::int64_t whole = std::min(last, problem.out < 8 ? 0 : (problem.out - 8) / kOut + 1);
  for (std::int64_t p = 0; p < depth; ++p) {
    const float* row = problem.dy + (begin + p) * problem.out;
    float* to = panels + p * kOut;
    std::int64_t block = first;
    // Where eight can be read: the next pixel writes over what is too many, and a panel has room behind it.
    for (; block < whole; ++block) {
      *reinterpret_cast<LooseVector*>(to + (block - first) * kOutPanel<kOut>) =
          *reinterpret_cast<const LooseVector*>(row + block * kOut);
    }
    for (; block < last; ++block) {
      for (std::int64_t r = 0; r < kOut; ++r) {
        const std::int64_t channel = block * kOut + r;
        to[(block - first) * kOutPanel<kOut> + r] = channel < problem.out ? row[channel] : 0;
      }
    }
  }
}

/// Copies 16 input channels, as one tap of the kernel sees them from those pixels, into a panel [pixel][16].
FERMENT_AVX2 void PackIn(const Problem& problem, std::int64_t begin, std::int64_t depth, std::int64_t tap,
                         std::int64_t channel, float* panel) {
  const auto& [kernel, stride, padding] = problem.shape;
  const std::int64_t shift_y = tap / kernel - padding;
  const std::int64_t shift_x = tap % kernel - padding;
  std::int64_t image = begin / (problem.oh * problem.ow);
  std::int64_t y = begin / problem.ow % problem.oh;
  std::int64_t x = begin % problem.ow;
  for (std::int64_t p = 0; p < depth;) {
    const std::int64_t run = std::min(depth - p, problem.ow - x);
    const std::int64_t row = y * stride + shift_y;
    const bool inside = row >= 0 && row < problem.h;
    const float* from = problem.x + (image * problem.h + row) * problem.w * problem.in + channel;
    for (std::int64_t i = 0; i < run; ++i) {
      const std::int64_t column = (x + i) * stride + shift_x;
      auto* to = reinterpret_cast<Vector*>(panel + (p + i) * kIn);
      if (inside && column >= 0 && column < problem.w) {
        const auto* values = reinterpret_cast<const LooseVector*>(from + column * problem.in);
        to[0] = values[0];
        to[1] = values[1];
      } else {
        to[0] = to[1] = Vector{};
      }
    }
    p += run;
    x += run;
    if (x < problem.ow) continue;
    x = 0;
    if (++y < problem.oh) continue;
    y = 0;
    ++image;
  }
}

/// What one thread makes: some blocks of output channels by some (tap, block of input channels).
struct Share {
  std::int64_t first_out, last_out;
  std::int64_t first_in, last_in;
};

template <std::int64_t kOut>
void Multiply(const Problem& problem, const Share& share) {
  constexpr std::int64_t kPanels = kOut == kOutAvx2 ? 1 : 2;
  // LibTorch aligns tensors to cache lines.
  const torch::Tensor memory =
      torch::empty({kPanels * kIn * kDepth + (share.last_out - share.first_out) * kOutPanel<kOut>});
  float* in_panels = memory.data_ptr<float>();
  float* out_panels = in_panels + kPanels * kIn * kDepth;
  const std::int64_t stride = problem.taps() * problem.in;
  const std::int64_t reach = problem.shape.stride * problem.shape.stride;  // input pixels an output pixel
  for (std::int64_t begin = 0; begin < problem.pixels(); begin += kDepth) {
    const std::int64_t depth = std::min(kDepth, problem.pixels() - begin);
    PackOut<kOut>(problem, begin, depth, share.first_out, share.last_out, out_panels);
    const std::int64_t next = begin + depth;
    const std::int64_t after = std::min(next + kDepth, problem.pixels());
    Ahead ahead{{{problem.x + next * reach * problem.in, problem.x + after * reach * problem.in},
                 {problem.dy + next * problem.out, problem.dy + after * problem.out}}};
    for (std::int64_t unit = share.first_in, panels = 1; unit < share.last_in; unit += panels) {
      const std::int64_t tap = unit / problem.in_blocks();
      const std::int64_t channel = unit % problem.in_blocks() * kIn;
      panels = std::min({kPanels, share.last_in - unit, problem.in_blocks() - unit % problem.in_blocks()});
      for (std::int64_t i = 0; i < panels; ++i) {
        PackIn(problem, begin, depth, tap, channel + i * kIn, in_panels + i * kIn * kDepth);
      }
      const auto tile = kOut == kOutAvx2 ? TileAvx2 : panels == 1 ? TileAvx512<1> : TileAvx512<2>;
      for (std::int64_t block = share.first_out; block < share.last_out; ++block) {
        tile(out_panels + (block - share.first_out) * kOutPanel<kOut>, in_panels, depth,
             problem.dw + block * kOut * stride + tap * problem.in + channel, stride,
             std::min(kOut, problem.out - block * kOut), begin > 0, ahead.Take());
      }
    }
  }
}

}  // namespace

bool HasWeightGradient(const torch::Tensor& input, const torch::Tensor& gradient) {
  if (!input.is_cpu() || input.scalar_type() != torch::kFloat32 || input.dim() != 4 || input.size(1) % kIn != 0 ||
      input.numel() == 0 || !input.is_contiguous(torch::MemoryFormat::ChannelsLast)) {
    return false;
  }
  if (!HasVectors(Vectors::kAvx512)) return HasVectors(Vectors::kAvx2);
  return gradient.size(0) * gradient.size(2) * gradient.size(3) <= kMostPixelsAvx512;
}

torch::Tensor WeightGradient(const torch::Tensor& input, const torch::Tensor& gradient, const ConvolutionShape& shape,
                             Vectors vectors) {
  const std::int64_t in = input.size(1);
  const std::int64_t out = gradient.size(1);
  torch::Tensor weights = torch::empty({out, in, shape.kernel, shape.kernel},
                                       input.options().memory_format(torch::MemoryFormat::ChannelsLast));
  const Problem problem{.x = input.const_data_ptr<float>(),
                        .dy = gradient.const_data_ptr<float>(),
                        .dw = weights.data_ptr<float>(),
                        .n = input.size(0),
                        .h = input.size(2),
                        .w = input.size(3),
                        .in = in,
                        .oh = gradient.size(2),
                        .ow = gradient.size(3),
                        .out = out,
                        .shape = shape,
                        .out_block = vectors == Vectors::kAvx2 ? kOutAvx2 : kOutAvx512};
  const auto multiply = vectors == Vectors::kAvx2 ? Multiply<kOutAvx2> : Multiply<kOutAvx512>;
  // The longer side is divided, so that each thread copies little that others copy too.
  const std::int64_t columns = problem.taps() * problem.in_blocks();
  const std::int64_t rows = problem.out_blocks();
  if (columns >= rows) {
    ForEachPart(columns, [&](std::int64_t first, std::int64_t last) { multiply(problem, {0, rows, first, last}); });
  } else {
    ForEachPart(rows, [&](std::int64_t first, std::int64_t last) { multiply(problem, {first, last, 0, columns}); });
  }
  return weights;
}

}  // namespace ferment::nn
