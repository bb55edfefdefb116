// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/folded_convolution.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/cudnn_convolution_add_relu.h>
#include <ATen/ops/cudnn_convolution_relu.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/nn/convolution/convolution_tiles.h"

namespace ferment::nn {
namespace {

using Sizes = std::vector<std::int64_t>;
using Scalars = torch::List<std::optional<at::Scalar>>;

/// torch.compile calls these by the same names; they have no header.
template <typename Signature>
c10::TypedOperatorHandle<Signature> FindOperator(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

torch::Tensor Reorder(const torch::Tensor& weight, const ConvolutionShape& shape) {
  using Signature = torch::Tensor(const torch::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t,
                                  at::OptionalIntArrayRef);
  static const auto reorder = FindOperator<Signature>("mkldnn::_reorder_convolution_weight", "");
  const Sizes padding(2, shape.padding), stride(2, shape.stride), dilation(2, 1);
  return reorder.call(weight, padding, stride, dilation, 1, std::nullopt);
}

}  // namespace

ConvolutionEngine EngineOfThisProcessor() {
  return ConvolutionTiles::SuitThisProcessor() ? ConvolutionEngine::kTiles : ConvolutionEngine::kOneDnn;
}

FoldedConvolution::FoldedConvolution(const torch::Tensor& weight, const torch::Tensor& bias,
                                     const ConvolutionShape& shape, const Folding& folding)
    : engine_(folding.engine), bias_(bias.to(folding.type)), shape_(shape) {
  if (engine_ == ConvolutionEngine::kTiles) {
    tiles_ = std::make_unique<const ConvolutionTiles>(weight, bias, shape);
    return;
  }
  weight_ = weight.to(folding.type).contiguous(torch::MemoryFormat::ChannelsLast);
  if (engine_ == ConvolutionEngine::kOneDnn) weight_ = Reorder(weight_, shape);
}

FoldedConvolution::~FoldedConvolution() = default;

torch::Tensor FoldedConvolution::Run(const torch::Tensor& x, const Epilogue& epilogue) const {
  const auto input = x.contiguous(torch::MemoryFormat::ChannelsLast);
  if (engine_ == ConvolutionEngine::kTiles) return tiles_->Run(input, epilogue);
  return engine_ == ConvolutionEngine::kOneDnn ? RunOneDnn(input, epilogue) : RunCudnn(input, epilogue);
}

torch::Tensor FoldedConvolution::RunCudnn(const torch::Tensor& x, const Epilogue& epilogue) const {
  const Sizes padding(2, shape_.padding), stride(2, shape_.stride), dilation(2, 1);
  torch::Tensor y;
  if (engine_ == ConvolutionEngine::kCudnnFused && epilogue.rectify) {
    y = epilogue.residual.defined() ? at::cudnn_convolution_add_relu(x, weight_, epilogue.residual, /*alpha=*/1.0,
                                                                     bias_, stride, padding, dilation, /*groups=*/1)
                                    : at::cudnn_convolution_relu(x, weight_, bias_, stride, padding, dilation, 1);
  } else {
    y = at::conv2d(x, weight_, bias_, stride, padding, dilation);
    if (epilogue.residual.defined()) y.add_(epilogue.residual);
    if (epilogue.rectify) y.relu_();
  }
  return epilogue.slope.defined() ? torch::prelu(y, epilogue.slope.to(y.scalar_type())) : y;
}

torch::Tensor FoldedConvolution::RunOneDnn(const torch::Tensor& x, const Epilogue& epilogue) const {
  const Sizes padding(2, shape_.padding), stride(2, shape_.stride), dilation(2, 1);
  torch::Tensor y;
  const bool adds = epilogue.residual.defined();
  // LibTorch's fused sum fails on maps of one pixel ("could not create a memory"), whatever their order.
  const bool adds_fused = adds && epilogue.residual.size(2) * epilogue.residual.size(3) > 1;
  if (adds_fused) {
    using Signature = torch::Tensor(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&,
                                    const std::optional<torch::Tensor>&, at::IntArrayRef, at::IntArrayRef,
                                    at::IntArrayRef, std::int64_t, std::string_view, std::optional<at::Scalar>,
                                    std::optional<std::string_view>, Scalars, std::optional<std::string_view>);
    static const auto convolve = FindOperator<Signature>("mkldnn::_convolution_pointwise", "binary");
    y = convolve.call(x, epilogue.residual, weight_, bias_, padding, stride, dilation, 1, "add", std::nullopt,
                      epilogue.rectify ? std::optional<std::string_view>("relu") : std::nullopt, Scalars(), "");
  } else {
    using Signature = torch::Tensor(const torch::Tensor&, const torch::Tensor&, const std::optional<torch::Tensor>&,
                                    at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t, std::string_view,
                                    Scalars, std::optional<std::string_view>);
    static const auto convolve = FindOperator<Signature>("mkldnn::_convolution_pointwise", "");
    y = convolve.call(x, weight_, bias_, padding, stride, dilation, 1, epilogue.rectify && !adds ? "relu" : "none",
                      Scalars(), "");
    if (adds) y.add_(epilogue.residual);
    if (adds && epilogue.rectify) y.relu_();
  }
  return epilogue.slope.defined() ? torch::prelu(y, epilogue.slope) : y;
}

}  // namespace ferment::nn
