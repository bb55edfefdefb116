// SPDX-License-Identifier: Apache-2.0
//
// A convolution for inference, with its normalisation folded in and all that follows it in the same pass.
#pragma once

#include <torch/types.h>

#include <memory>

#include "common/nn/convolution.h"
#include "common/nn/weight_gradient.h"

namespace ferment::nn {

class ConvolutionTiles;

enum class ConvolutionEngine {
  /// ConvolutionTiles: AVX2 alone.
  kTiles,
  /// oneDNN's fused convolution, through LibTorch's dispatcher.
  kOneDnn,
};

/// Returns: the one that was measured to be the faster on this kind of processor.
ConvolutionEngine EngineOfThisProcessor();

/// Thread: any number at a time. Throws c10::Error: call under Guard.
class FoldedConvolution {
 public:
  /// `weight` [O, I, kernel, kernel], `bias` [O], float32. Requires: a processor that has the engine.
  FoldedConvolution(const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape,
                    ConvolutionEngine engine);
  ~FoldedConvolution();

  /// `x` [N, I, H, W]. Returns: [N, O, H', W'], channels-last.
  torch::Tensor Run(const torch::Tensor& x, const Epilogue& epilogue) const;

 private:
  torch::Tensor RunOneDnn(const torch::Tensor& x, const Epilogue& epilogue) const;

  std::unique_ptr<const ConvolutionTiles> tiles_;
  torch::Tensor weight_;  // in oneDNN's order
  torch::Tensor bias_;
  ConvolutionShape shape_;
};

}  // namespace ferment::nn
