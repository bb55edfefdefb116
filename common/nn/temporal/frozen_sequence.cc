// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/frozen_sequence.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/nn/modules/transformercoder.h>
#include <torch/nn/modules/transformerlayer.h>

#include <optional>
#include <utility>

namespace ferment::nn {
namespace {

using torch::Tensor;

/// torch.compile calls these by the same names; they have no header, and are only where LibTorch has MKL.
template <typename Signature>
std::optional<c10::TypedOperatorHandle<Signature>> FindOperator(const char* name) {
  const auto found = c10::Dispatcher::singleton().findSchema({name, ""});
  return found ? std::optional(found->typed<Signature>()) : std::nullopt;
}

Tensor Pack(const Tensor& weight, std::int64_t rows) {
  static const auto reorder = FindOperator<Tensor(const Tensor&, std::int64_t)>("mkl::_mkl_reorder_linear_weight");
  return reorder ? reorder->call(weight, rows) : Tensor();
}

const torch::nn::TransformerEncoderLayerImpl& LayerOf(const std::shared_ptr<torch::nn::Module>& module) {
  return *module->as<torch::nn::TransformerEncoderLayer>();
}

Tensor NormOfSum(const torch::nn::LayerNormImpl& norm, Tensor x, const Tensor& residual) {
  return torch::layer_norm(x.add_(residual), norm.options.normalized_shape(), norm.weight, norm.bias,
                           norm.options.eps());
}

}  // namespace

PackedLinear::PackedLinear(Tensor weight, Tensor bias, std::int64_t rows)
    : weight_(weight.detach()), bias_(bias.detach()), packed_(Pack(weight_, rows)), rows_(rows) {}

Tensor PackedLinear::operator()(const Tensor& x) const {
  using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, std::int64_t);
  static const auto multiply = FindOperator<Signature>("mkl::_mkl_linear");
  if (!multiply || !packed_.defined()) return torch::linear(x, weight_, bias_);
  return multiply->call(x, packed_, weight_, bias_, rows_);
}

FrozenSequence::FrozenSequence(const torch::nn::TransformerEncoderImpl& encoder, std::int64_t rows)
    : encoder_(encoder) {
  const torch::NoGradGuard no_grad;
  for (const auto& module : *encoder.layers) {
    const auto& layer = LayerOf(module);
    const auto& attention = *layer.self_attn;
    const auto packed = [&](const torch::nn::LinearImpl& linear) {
      return PackedLinear(linear.weight, linear.bias, rows);
    };
    layers_.push_back({PackedLinear(attention.in_proj_weight, attention.in_proj_bias, rows),
                       packed(*attention.out_proj), packed(*layer.linear1), packed(*layer.linear2)});
  }
}

Tensor FrozenSequence::Run(const Tensor& x, const Tensor& masked) const {
  const auto looked_at =
      masked.any().item<bool>() ? std::optional(masked.logical_not().view({x.size(0), 1, 1, x.size(1)})) : std::nullopt;
  Tensor y = x;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const auto& layer = LayerOf(encoder_.layers->ptr(i));
    const std::int64_t heads = layer.self_attn->options.num_heads();
    const Tensor by_head = layers_[i].heads(y).view({x.size(0), x.size(1), 3, heads, -1}).permute({2, 0, 3, 1, 4});
    const Tensor seen = at::scaled_dot_product_attention(by_head[0], by_head[1], by_head[2], looked_at);
    y = NormOfSum(*layer.norm1, layers_[i].joined(seen.transpose(1, 2).flatten(2)), y);
    y = NormOfSum(*layer.norm2, layers_[i].output(layers_[i].hidden(y).relu_()), y);
  }
  return y;
}

}  // namespace ferment::nn
