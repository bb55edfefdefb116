// SPDX-License-Identifier: Apache-2.0
//
// A network in 7-bit activations and 8-bit weights, made from its float32 weights and some faces.
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "common/base/result.h"
#include "common/nn/convolution/folded_convolution.h"
#include "common/nn/convolution/quantized_convolution.h"
#include "common/nn/inference/network_steps.h"
#include "common/nn/inference/prediction.h"

namespace ferment::nn {

/// Follows from the steps and the faces alone: every labeler that makes it makes the same one, bit for bit, on one
/// instruction set. The last convolution's result, the features and the classifier are float32.
///
/// Thread: any number at a time; a call works on its own thread. Throws c10::Error: call under Guard.
class QuantizedNetwork {
 public:
  /// `faces` [n, 3, H, W] normalised, n > 0: what the ranges of activations are taken from, a face at a time. Requires:
  /// QuantizedConvolution::SuitsThisProcessor(). Throws where a weight or an activation is not finite. Errors:
  /// Cancelled once `stop` is requested, by the next face or step.
  static Result<QuantizedNetwork> Make(const NetworkSteps& steps, const torch::Tensor& faces, ConvolutionEngine engine,
                                       const std::stop_token& stop = {});

  /// `images` [N, 3, H, W] normalised.
  Prediction Run(const torch::Tensor& images) const;

 private:
  struct Step {
    NetworkStep::Kind kind;
    std::size_t input;
    std::optional<std::size_t> residual;
    std::shared_ptr<const QuantizedConvolution> convolution;  // shared, so that plans can be copied
    torch::Tensor factor, offset;                             // [C] of a scale
  };

  explicit QuantizedNetwork(const NetworkSteps& steps);

  torch::Tensor RunStep(const Step& step, const std::vector<torch::Tensor>& activations) const;

  Quantization images_;
  std::vector<Step> steps_;
  std::vector<std::size_t> last_use_;  // of each activation: the step after which it may go
  torch::Tensor embedding_, embedding_bias_, classifier_, classifier_bias_;
};

}  // namespace ferment::nn
