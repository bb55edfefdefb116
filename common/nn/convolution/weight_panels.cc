// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/weight_panels.h"

#include <algorithm>
#include <cstdint>

#include "common/base/check.h"
#include "common/nn/kernels/float_tiles.h"
#include "common/nn/kernels/parallel_parts.h"
#include "common/nn/kernels/wide_vectors.h"

namespace ferment::nn {
namespace {

constexpr std::int64_t kOut = kFloatTileOutputs;

#if defined(__x86_64__)
/// Eight floats of each of eight rows become eight rows of one float of each.
FERMENT_AVX2 void TransposeEight(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  Vector row[8], pair[8], four[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) row[i] = *reinterpret_cast<const LooseVector*>(from + i * from_stride);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pair[i] = __builtin_shufflevector(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pair[i + 1] = __builtin_shufflevector(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Vector low = pair[i / 2 * 4 + i % 2], high = pair[i / 2 * 4 + i % 2 + 2];
    four[2 * i] = __builtin_shufflevector(low, high, 0, 1, 8, 9, 4, 5, 12, 13);
    four[2 * i + 1] = __builtin_shufflevector(low, high, 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    *reinterpret_cast<LooseVector*>(to + i * to_stride) =
        __builtin_shufflevector(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *reinterpret_cast<LooseVector*>(to + (i + 4) * to_stride) =
        __builtin_shufflevector(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}
#endif

/// One block of outputs: rows of `depth` weights become columns.
void PackOutputs(const float* rows, std::int64_t outputs, std::int64_t depth, float* panel) {
  std::int64_t whole = 0;
#if defined(__x86_64__)
  if (outputs == kOut && HasVectors(Vectors::kAvx2)) {
    for (; whole + 8 <= depth; whole += 8) {
      TransposeEight(rows + whole, depth, panel + whole * kOut, kOut);
      TransposeEight(rows + 8 * depth + whole, depth, panel + whole * kOut + 8, kOut);
    }
  }
#endif
  for (std::int64_t d = whole; d < depth; ++d) {
    for (std::int64_t o = 0; o < kOut; ++o) panel[d * kOut + o] = o < outputs ? rows[o * depth + d] : 0;
  }
}

}  // namespace

torch::Tensor PanelsOfOutputs(const torch::Tensor& weight) {
  const torch::Tensor lasting = weight.contiguous(torch::MemoryFormat::ChannelsLast);
  const std::int64_t out = weight.size(0), depth = weight.numel() / std::max<std::int64_t>(1, out);
  const std::int64_t blocks = (out + kOut - 1) / kOut;
  torch::Tensor panels = torch::empty({blocks, depth, kOut}, torch::kFloat32);
  const float* from = lasting.const_data_ptr<float>();
  float* to = panels.data_ptr<float>();
  ForEachPart(blocks, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t block = first; block < last; ++block) {
      PackOutputs(from + block * kOut * depth, std::min(kOut, out - block * kOut), depth, to + block * kOut * depth);
    }
  });
  return panels;
}

torch::Tensor PanelsOfInputs(const torch::Tensor& weight) {
  const torch::Tensor lasting = weight.contiguous(torch::MemoryFormat::ChannelsLast);
  const std::int64_t out = weight.size(0), in = weight.size(1), taps = weight.size(2) * weight.size(3);
  FERMENT_CHECK(in % kOut == 0) << "in=" << in;
  torch::Tensor panels = torch::empty({in / kOut, taps * out, kOut}, torch::kFloat32);
  const float* from = lasting.const_data_ptr<float>();  // [out][tap][in]
  float* to = panels.data_ptr<float>();
  ForEachPart(in / kOut * taps, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t piece = first; piece < last; ++piece) {
      const float* column = from + (taps - 1 - piece % taps) * in + piece / taps * kOut;
      for (std::int64_t o = 0; o < out; ++o) std::copy_n(column + o * taps * in, kOut, to + (piece * out + o) * kOut);
    }
  });
  return panels;
}

}  // namespace ferment::nn
