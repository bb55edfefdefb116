// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/convolution_passes.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/nn/convolution/weight_panels.h"
#include "common/nn/kernels/channel_moments.h"
#include "common/nn/kernels/float_tiles.h"
#include "common/nn/kernels/parallel_parts.h"

namespace ferment::nn {
namespace {

/// `panels` are of the weights from the channels of `x` to `out`.
ForwardPass ConvolveByPanels(const torch::Tensor& x, const torch::Tensor& panels, std::int64_t out,
                             const ConvolutionShape& shape, bool with_moments, Vectors vectors) {
  const ConvolutionGeometry at = GeometryOf(x.size(0), x.size(2), x.size(3), x.size(1), out, shape);
  ForwardPass pass{
      torch::empty({at.images, out, at.oh, at.ow}, x.options().memory_format(torch::MemoryFormat::ChannelsLast)), {}};
  const std::vector<float> no_bias(static_cast<std::size_t>(out));
  float* const y = pass.y.data_ptr<float>();
  const FloatParts parts({.at = at,
                          .x = x.const_data_ptr<float>(),
                          .weights = panels.const_data_ptr<float>(),
                          .bias = no_bias.data(),
                          .residual = nullptr,
                          .slope = nullptr,
                          .rectify = false,
                          .y = y},
                         vectors);
  std::optional<MomentsInParts> moments;
  if (with_moments) moments.emplace(out, parts.Rows());
  ForEachPiece(parts.count(), [&](std::int64_t piece) {
    const auto [block, first_row, rows, channels] = parts.Make(piece);
    if (!moments) return;
    const float* made = y + first_row * out + channels.first;
    moments->Add<float>(block, channels.first, {made, rows, channels.last - channels.first, out});
  });
  if (moments) pass.moments = moments->Joined();
  return pass;
}

}  // namespace

bool HasTilePasses(const torch::Tensor& x, const torch::Tensor& weight, const ConvolutionShape& shape) {
  const auto suits = [](const torch::Tensor& tensor) {
    return tensor.is_cpu() && tensor.scalar_type() == torch::kFloat32 && tensor.dim() == 4;
  };
  const auto holds_kernel = [&](std::int64_t side) { return side + 2 * shape.padding >= shape.kernel; };
  return suits(x) && suits(weight) && x.size(1) == weight.size(1) && holds_kernel(x.size(2)) &&
         holds_kernel(x.size(3)) && weight.size(0) % kFloatTileOutputs == 0 &&
         weight.size(1) % kFloatTileOutputs == 0 && x.numel() > 0 &&
         x.is_contiguous(torch::MemoryFormat::ChannelsLast) && HasVectors(Vectors::kAvx2);
}

ForwardPass ConvolveForward(const torch::Tensor& x, const torch::Tensor& weight, const ConvolutionShape& shape,
                            bool with_moments, Vectors vectors) {
  return ConvolveByPanels(x, PanelsOfOutputs(weight), weight.size(0), shape, with_moments, vectors);
}

bool HasConvolveBackward(const ConvolutionShape& shape) {
  return shape.stride == 1 ? shape.padding < shape.kernel : shape.kernel == 1 && shape.padding == 0;
}

torch::Tensor ConvolveBackward(const torch::Tensor& dy, at::IntArrayRef like, const torch::Tensor& weight,
                               const ConvolutionShape& shape, Vectors vectors) {
  const ConvolutionShape back{shape.kernel, 1, shape.kernel - 1 - shape.padding};
  const torch::Tensor reached = ConvolveByPanels(dy, PanelsOfInputs(weight), weight.size(1), back, false, vectors).y;
  if (shape.stride == 1) return reached;
  // Pixels between those that the convolution looked at have no gradient.
  torch::Tensor dx = torch::empty(like, dy.options().memory_format(torch::MemoryFormat::ChannelsLast)).zero_();
  dx.slice(2, 0, std::nullopt, shape.stride).slice(3, 0, std::nullopt, shape.stride).copy_(reached);
  return dx;
}

}  // namespace ferment::nn
