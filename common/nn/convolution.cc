// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution.h"

#include <ATen/ops/convolution_backward.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/conv.h>

#include "common/nn/weight_gradient.h"

namespace ferment::nn {
namespace {

struct ConvolveFunction : public torch::autograd::Function<ConvolveFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, std::int64_t stride, std::int64_t padding) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return torch::conv2d(x, weight, /*bias=*/{}, stride, padding);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const auto& weight = saved[1];
    const torch::Tensor dy = gradients[0].contiguous(torch::MemoryFormat::ChannelsLast);
    const ConvolutionShape shape{weight.size(2), context->saved_data["stride"].toInt(),
                                 context->saved_data["padding"].toInt()};
    torch::Tensor dx;
    if (context->needs_input_grad(0)) {
      const std::vector<std::int64_t> stride(2, shape.stride), padding(2, shape.padding), ones(2, 1), zeros(2, 0);
      dx = std::get<0>(at::convolution_backward(dy, x, weight, /*bias_sizes=*/std::nullopt, stride, padding, ones,
                                                /*transposed=*/false, zeros, /*groups=*/1, {true, false, false}));
    }
    return {dx, WeightGradient(x, dy, shape), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor Convolve(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x) {
  if (!torch::GradMode::is_enabled() || !convolution.weight.requires_grad() || !HasWeightGradient(x)) {
    return convolution.forward(x);
  }
  const auto& options = convolution.options;
  const auto& padding = std::get<torch::ExpandingArray<2>>(options.padding());
  return ConvolveFunction::apply(x, convolution.weight, options.stride()->at(0), padding->at(0));
}

}  // namespace ferment::nn
