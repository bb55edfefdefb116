// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/self_attention.h"

#include <torch/nn/modules/transformercoder.h>
#include <torch/nn/modules/transformerlayer.h>

#include <cmath>
#include <limits>

namespace ferment::nn {
namespace {

using torch::Tensor;

Tensor Apply(const torch::nn::LinearImpl& linear, const Tensor& x) {
  return torch::linear(x, linear.weight, linear.bias);
}

Tensor Apply(const torch::nn::LayerNormImpl& norm, const Tensor& x) {
  return torch::layer_norm(x, norm.options.normalized_shape(), norm.weight, norm.bias, norm.options.eps());
}

/// Vaswani et al. 2017, section 3.2.
Tensor Attend(const torch::nn::MultiheadAttentionImpl& attention, const Tensor& x, const Tensor& masked,
              Dropout& dropout) {
  const std::int64_t heads = attention.options.num_heads();
  const std::int64_t size = x.size(2) / heads;
  const Tensor joined = torch::linear(x, attention.in_proj_weight, attention.in_proj_bias);
  const Tensor by_head = joined.view({x.size(0), x.size(1), 3, heads, size}).permute({2, 0, 3, 1, 4});  // [3,B,h,T,s]
  const Tensor query = by_head[0] * (1 / std::sqrt(static_cast<double>(size)));
  Tensor scores = torch::matmul(query, by_head[1].transpose(2, 3));
  if (masked.defined()) scores = scores.masked_fill(masked, -std::numeric_limits<double>::infinity());
  const Tensor seen = torch::matmul(dropout.Apply(torch::softmax(scores, 3)), by_head[2]);
  return Apply(*attention.out_proj, seen.transpose(1, 2).flatten(2));
}

}  // namespace

Tensor EncodeSequence(const torch::nn::TransformerEncoderImpl& encoder, const Tensor& x, const Tensor& masked,
                      Dropout& dropout) {
  const Tensor mask = masked.any().item<bool>() ? masked.view({x.size(0), 1, 1, x.size(1)}) : Tensor();
  Tensor y = x;
  for (const auto& module : *encoder.layers) {
    const auto& layer = *module->as<torch::nn::TransformerEncoderLayer>();
    y = Apply(*layer.norm1, dropout.ApplyAndAdd(Attend(*layer.self_attn, y, mask, dropout), y));
    const Tensor hidden = dropout.RectifyAndApply(Apply(*layer.linear1, y));
    y = Apply(*layer.norm2, dropout.ApplyAndAdd(Apply(*layer.linear2, hidden), y));
  }
  return y;
}

}  // namespace ferment::nn
