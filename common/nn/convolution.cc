// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution.h"

#include <ATen/ops/convolution_backward.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/conv.h>

#include <tuple>
#include <vector>

#include "common/nn/weight_gradient.h"

namespace ferment::nn {
namespace {

/// Whether LibTorch's own bfloat16 convolutions are the way to take: on a processor without instructions for them they
/// were measured at a ninth of the speed of float32's.
bool HasBFloat16Convolutions(const torch::Tensor& x) {
#if defined(__x86_64__)
  static const bool multiplies = __builtin_cpu_supports("avx512bf16");
  return !x.is_cpu() || multiplies;
#else
  return !x.is_cpu();
#endif
}

/// float32 holds a product of two bfloat16 numbers exactly, so from widened ones it makes what hardware would, which
/// adds up in float32 too.
torch::Tensor Widened(const torch::Tensor& x) {
  return x.scalar_type() == torch::kBFloat16 ? x.to(torch::kFloat32) : x;
}

/// Gradients of inputs and outputs have the type of x, that of weights the type of the weights.
struct ConvolveFunction : public torch::autograd::Function<ConvolveFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, std::int64_t stride, std::int64_t padding) {
    const torch::Tensor rounded = weight.to(x.scalar_type());
    context->save_for_backward({x, rounded});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return torch::conv2d(Widened(x), Widened(rounded), /*bias=*/{}, stride, padding).to(x.scalar_type());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor x = Widened(saved[0]);
    const torch::Tensor weight = Widened(saved[1]);
    const torch::Tensor dy = Widened(gradients[0].contiguous(torch::MemoryFormat::ChannelsLast));
    const ConvolutionShape shape{weight.size(2), context->saved_data["stride"].toInt(),
                                 context->saved_data["padding"].toInt()};
    const std::vector<std::int64_t> stride(2, shape.stride), padding(2, shape.padding), ones(2, 1), zeros(2, 0);
    const auto by_libtorch = [&](bool of_input, bool of_weight) {
      return at::convolution_backward(dy, x, weight, /*bias_sizes=*/std::nullopt, stride, padding, ones,
                                      /*transposed=*/false, zeros, /*groups=*/1, {of_input, of_weight, false});
    };
    const bool ours = HasWeightGradient(x, weight.size(0));
    torch::Tensor dx, dw;
    if (context->needs_input_grad(0) || !ours) {
      std::tie(dx, dw, std::ignore) = by_libtorch(context->needs_input_grad(0), !ours);
    }
    if (ours) dw = WeightGradient(x, dy, shape);
    if (dx.defined()) dx = dx.to(saved[0].scalar_type());
    return {dx, dw, torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor Convolve(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x) {
  const torch::Tensor& weight = convolution.weight;
  const bool mixed = x.scalar_type() != weight.scalar_type();
  const bool widened = mixed && !HasBFloat16Convolutions(x);
  const bool trained = torch::GradMode::is_enabled() && weight.requires_grad();
  if (!mixed && !(trained && HasWeightGradient(x, weight.size(0)))) return convolution.forward(x);
  const auto& options = convolution.options;
  const std::int64_t stride = options.stride()->at(0);
  const std::int64_t padding = std::get<torch::ExpandingArray<2>>(options.padding())->at(0);
  if (!mixed || widened) return ConvolveFunction::apply(x, weight, stride, padding);
  return torch::conv2d(x, weight.to(x.scalar_type()), /*bias=*/{}, stride, padding);
}

}  // namespace ferment::nn
