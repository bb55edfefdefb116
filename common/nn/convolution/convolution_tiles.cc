// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/convolution_tiles.h"

#include <algorithm>
#include <cstdint>

#include "common/nn/convolution/weight_panels.h"

namespace ferment::nn {
namespace {

constexpr std::int64_t kOut = kFloatTileOutputs;

/// Returns: [channels rounded up to whole blocks], zeros at the end.
torch::Tensor WholeBlocks(const torch::Tensor& values) {
  const std::int64_t channels = values.size(0);
  auto whole = torch::zeros({(channels + kOut - 1) / kOut * kOut}, torch::kFloat32);
  whole.slice(0, 0, channels).copy_(values);
  return whole;
}

/// Returns: [images][h][w][in] of `copy` with the images of `x` in the middle and zeros around them.
torch::Tensor PaddedCopy(const torch::Tensor& x, const ConvolutionGeometry& copy, std::int64_t padding) {
  auto padded = torch::zeros({copy.images, copy.h, copy.w, copy.in}, torch::kFloat32);
  const std::int64_t row_floats = x.size(3) * copy.in;
  const float* from = x.const_data_ptr<float>();
  for (std::int64_t image = 0; image < copy.images; ++image) {
    for (std::int64_t y = padding; y < copy.h - padding; ++y, from += row_floats) {
      std::copy_n(from, row_floats, padded.data_ptr<float>() + ((image * copy.h + y) * copy.w + padding) * copy.in);
    }
  }
  return padded;
}

const float* DataOf(const torch::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }

}  // namespace

bool ConvolutionTiles::SuitThisProcessor() { return HasVectors(Vectors::kAvx2); }

ConvolutionTiles::ConvolutionTiles(const torch::Tensor& weight, const torch::Tensor& bias,
                                   const ConvolutionShape& shape, Vectors vectors)
    : packed_(PanelsOfOutputs(weight.to(torch::kFloat32))),
      bias_(WholeBlocks(bias)),
      in_(weight.size(1)),
      out_(weight.size(0)),
      shape_(shape),
      vectors_(vectors) {}

torch::Tensor ConvolutionTiles::Run(const torch::Tensor& x, const Epilogue& epilogue) const {
  ConvolutionGeometry at = GeometryOf(x.size(0), x.size(2), x.size(3), in_, out_, shape_);
  auto y = torch::empty({at.images, out_, at.oh, at.ow}, x.options().memory_format(torch::MemoryFormat::ChannelsLast));
  torch::Tensor read = x;
  if (in_ < kShortTap && shape_.kernel > 1) {
    at = at.OfPaddedCopy();
    read = PaddedCopy(x, at, shape_.padding);
  }
  const torch::Tensor slope = epilogue.slope.defined() ? WholeBlocks(epilogue.slope) : torch::Tensor();
  const FloatParts parts({.at = at,
                          .x = read.const_data_ptr<float>(),
                          .weights = packed_.const_data_ptr<float>(),
                          .bias = bias_.const_data_ptr<float>(),
                          .residual = DataOf(epilogue.residual),
                          .slope = DataOf(slope),
                          .rectify = epilogue.rectify,
                          .y = y.data_ptr<float>()},
                         vectors_);
  for (std::int64_t part = 0; part < parts.count(); ++part) parts.Make(part);
  return y;
}

}  // namespace ferment::nn
