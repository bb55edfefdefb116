// SPDX-License-Identifier: Apache-2.0
//
// Windows of frozen per-frame features to a class per frame: projection, an encoder over time, a linear classifier.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/config/run_spec.h"
#include "common/nn/temporal/dropout.h"

namespace ferment::nn {

struct TemporalConfig {
  /// transformer, gru, tcn or none (every frame by itself).
  std::string encoder;
  std::int64_t input_size;
  std::int64_t d_model;
  std::int64_t layers;
  std::int64_t heads;
  std::int64_t feed_forward;
  double dropout;
  std::int64_t classes;
};

/// Returns: the spec's temporal section for features of this size, with `encoder` in place of the spec's.
TemporalConfig MakeTemporalConfig(const RunSpec& spec, std::string encoder, std::int64_t input_size);

/// Parameter names, which `export/temporal.safetensors` keeps: input_norm.*, projection.*, classifier.* and
/// - transformer: encoder.layers.<i>.{self_attn.in_proj_weight, self_attn.out_proj.weight, linear1, linear2, norm1,
/// norm2}.*,
///   as torch.nn.TransformerEncoder (post-norm, ReLU) has them; sinusoidal positions are added before it;
/// - gru: encoder.{weight,bias}_{ih,hh}_l<i>[_reverse], bidirectional, d_model / 2 a direction;
/// - tcn: encoder.<i>.{conv1, conv2}.*, residual blocks of two kernel-3 convolutions with dilation 2^i.
class TemporalEncoder : public torch::nn::Module {
 public:
  ~TemporalEncoder() override = default;
  /// `features` [B, T, D]; `present` [B, T] bool, false for frames without a face and for padding: nothing looks at
  /// those. `seed`: of dropout, in training, where every step needs its own. Returns: logits [B, T, C]; at absent
  /// frames they mean nothing.
  torch::Tensor forward(const torch::Tensor& features, const torch::Tensor& present, const DropoutSeed& seed = {}) {
    return Classify(Project(features), present, seed);
  }

  /// The two halves of forward: `features` [..., D] -> [..., d_model] -> logits.
  virtual torch::Tensor Project(const torch::Tensor& features) = 0;
  virtual torch::Tensor Classify(const torch::Tensor& projected, const torch::Tensor& present,
                                 const DropoutSeed& seed) = 0;

  /// Both halves in evaluation; a frame in several windows is projected once. Any number of threads at a time, each
  /// under a NoGradGuard.
  struct FrozenHalves {
    std::function<torch::Tensor(const torch::Tensor& features)> project;
    std::function<torch::Tensor(const torch::Tensor& projected, const torch::Tensor& present)> classify;
  };
  /// Returns: what is for many calls of `frames` frames each (B T) before a weight changes. Must not outlive this.
  virtual FrozenHalves Frozen(std::int64_t frames) = 0;
};

/// Initial weights depend on (seed, stream) alone. Reseeds torch's default CPU generator. Requires: a valid config.
std::shared_ptr<TemporalEncoder> MakeTemporalEncoder(const TemporalConfig& config, std::uint64_t seed,
                                                     std::uint64_t stream);

}  // namespace ferment::nn
