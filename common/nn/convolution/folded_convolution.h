// SPDX-License-Identifier: Apache-2.0
//
// A convolution for inference, with its normalisation folded in and all that follows it in the same pass.
#pragma once

#include <torch/types.h>

#include <memory>

#include "common/nn/convolution/convolution.h"
#include "common/nn/kernels/convolution_rows.h"

namespace ferment::nn {

class ConvolutionTiles;

enum class ConvolutionEngine {
  /// ConvolutionTiles: AVX2 or AVX-512.
  kTiles,
  /// oneDNN's fused convolution, through LibTorch's dispatcher.
  kOneDnn,
  /// cuDNN's fused convolution: on a GPU alone.
  kCudnnFused,
  /// cuDNN's convolution and a kernel for each thing that follows, where it has no fused one.
  kCudnn,
};

/// How convolutions are folded.
struct Folding {
  Folding(ConvolutionEngine by, torch::Dtype in = torch::kFloat32)
      : engine(by), type(in) {}  // NOLINT: an engine is one
  ConvolutionEngine engine;
  /// What inputs are, and products are rounded to: float32, or for cuDNN bfloat16. Sums are float32.
  torch::Dtype type;
};

/// Returns: the one that was measured to be the faster on this kind of processor.
ConvolutionEngine EngineOfThisProcessor();

/// Thread: any number at a time. Throws c10::Error: call under Guard.
class FoldedConvolution {
 public:
  /// `weight` [O, I, kernel, kernel], `bias` [O], float32, on the CPU, or for cuDNN on the GPU. Requires: a processor
  /// that has the engine.
  FoldedConvolution(const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape,
                    const Folding& folding);
  ~FoldedConvolution();

  /// `x` [N, I, H, W]. Returns: [N, O, H', W'], channels-last.
  torch::Tensor Run(const torch::Tensor& x, const Epilogue& epilogue) const;

 private:
  torch::Tensor RunOneDnn(const torch::Tensor& x, const Epilogue& epilogue) const;
  torch::Tensor RunCudnn(const torch::Tensor& x, const Epilogue& epilogue) const;

  ConvolutionEngine engine_;
  std::unique_ptr<const ConvolutionTiles> tiles_;
  torch::Tensor weight_;  // in the engine's order
  torch::Tensor bias_;
  ConvolutionShape shape_;
};

}  // namespace ferment::nn
