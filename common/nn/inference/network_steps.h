// SPDX-License-Identifier: Apache-2.0
//
// A backbone written down as a list of operations with BatchNorm folded in, for plans that compute in another
// arithmetic.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "common/nn/backbone.h"
#include "common/nn/kernels/convolution_rows.h"
#include "common/nn/tensor_io.h"

namespace ferment::nn {

/// Reads activation `input` and makes the next one: activation 0 is the images, step i makes activation i + 1.
struct NetworkStep {
  enum class Kind : std::uint8_t {
    /// With bias, then + residual, then max(0, .) or the PReLU's slope below zero.
    kConvolution,
    /// Three by three, every second pixel, padding one.
    kMaxPool,
    /// Channel by channel: weight * x + bias.
    kScale,
  };

  Kind kind = Kind::kConvolution;
  std::size_t input = 0;
  std::optional<std::size_t> residual = {};
  torch::Tensor weight = {};  // [O, I, kernel, kernel], or [C]
  torch::Tensor bias = {};    // [O], or [C]
  ConvolutionShape shape = {};
  bool rectify = false;
  torch::Tensor slope = {};  // [O], or undefined
};

struct NetworkSteps {
  std::vector<NetworkStep> steps;
  /// [D, H * W * C]: the features are a linear function of the last activation; undefined: its mean over the pixels.
  torch::Tensor embedding, embedding_bias;
  torch::Tensor classifier, classifier_bias;  // [classes, D], [classes]
};

/// Returns: what Backbone of the same config and state computes in evaluation mode; float32. Throws c10::Error: call
/// under Guard. Requires: a state that LoadState takes.
NetworkSteps StepsOf(const BackboneConfig& config, const NamedTensors& state);

}  // namespace ferment::nn
