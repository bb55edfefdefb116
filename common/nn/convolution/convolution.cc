// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/convolution.h"

#include <ATen/ops/convolution_backward.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/conv.h>

#include <tuple>
#include <vector>

#include "common/base/check.h"
#include "common/nn/convolution/weight_gradient.h"

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

ForwardPass Forward(const torch::Tensor& x, const torch::Tensor& weight, const ConvolutionShape& shape,
                    bool with_moments) {
  if (HasTilePasses(x, weight, shape)) return ConvolveForward(x, weight, shape, with_moments);
  return {torch::conv2d(x, weight, /*bias=*/{}, shape.stride, shape.padding), {}};
}

/// Gradients of inputs and outputs have the type of x, that of weights the type of the weights.
struct ConvolveFunction : public torch::autograd::Function<ConvolveFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                                                const torch::Tensor& weight, const ConvolutionShape& shape,
                                                bool with_moments) {
    const torch::Tensor rounded = weight.to(x.scalar_type());
    context->save_for_backward({x, rounded});
    context->saved_data["stride"] = shape.stride;
    context->saved_data["padding"] = shape.padding;
    const ForwardPass made = Forward(Widened(x), Widened(rounded), shape, with_moments);
    if (!made.moments.defined()) return {made.y.to(x.scalar_type())};
    context->mark_non_differentiable({made.moments});
    return {made.y, made.moments};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor x = Widened(saved[0]);
    const torch::Tensor weight = Widened(saved[1]);
    const torch::Tensor dy = Widened(gradients[0].contiguous(torch::MemoryFormat::ChannelsLast));
    const ConvolutionShape shape{weight.size(2), context->saved_data["stride"].toInt(),
                                 context->saved_data["padding"].toInt()};
    const auto wanted = [&](std::size_t input) { return context->needs_input_grad(input); };
    torch::Tensor dx, dw;
    if (wanted(0) && HasTilePasses(x, weight, shape) && HasConvolveBackward(shape)) {
      dx = ConvolveBackward(dy, x.sizes(), weight, shape);
    }
    if (wanted(1) && HasWeightGradient(x, dy)) dw = WeightGradient(x, dy, shape);
    const bool input_left = wanted(0) && !dx.defined(), weight_left = wanted(1) && !dw.defined();
    if (input_left || weight_left) {
      const std::vector<std::int64_t> stride(2, shape.stride), padding(2, shape.padding), ones(2, 1), zeros(2, 0);
      const auto left =
          at::convolution_backward(dy, x, weight, /*bias_sizes=*/std::nullopt, stride, padding, ones,
                                   /*transposed=*/false, zeros, /*groups=*/1, {input_left, weight_left, false});
      if (input_left) dx = std::get<0>(left);
      if (weight_left) dw = std::get<1>(left);
    }
    if (dx.defined()) dx = dx.to(saved[0].scalar_type());
    return {dx, dw, torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

ConvolutionShape ShapeOf(const torch::nn::Conv2dImpl& convolution) {
  const auto& options = convolution.options;
  FERMENT_CHECK(!options.bias() && options.groups() == 1 && options.dilation()->at(0) == 1)
      << "bias=" << options.bias() << " groups=" << options.groups() << " dilation=" << options.dilation()->at(0);
  return {options.kernel_size()->at(0), options.stride()->at(0),
          std::get<torch::ExpandingArray<2>>(options.padding())->at(0)};
}

ForwardPass Convolve(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x, bool with_moments) {
  const torch::Tensor& weight = convolution.weight;
  const bool mixed = x.scalar_type() != weight.scalar_type();
  const ConvolutionShape shape = ShapeOf(convolution);
  if (mixed && HasBFloat16Convolutions(x)) {
    return {torch::conv2d(x, weight.to(x.scalar_type()), /*bias=*/{}, shape.stride, shape.padding), {}};
  }
  if (!mixed && !HasTilePasses(x, weight, shape)) return {convolution.forward(x), {}};
  const bool trained = torch::GradMode::is_enabled() && (weight.requires_grad() || x.requires_grad());
  if (!mixed && !trained) return Forward(x, weight, shape, with_moments);
  auto made = ConvolveFunction::apply(x, weight, shape, with_moments && !mixed);
  return {made[0], made.size() > 1 ? made[1] : torch::Tensor()};
}

}  // namespace ferment::nn
