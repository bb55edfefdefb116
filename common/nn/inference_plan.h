// SPDX-License-Identifier: Apache-2.0
//
// A network made ready for inference: BatchNorm folded, batches of one size, and its agreement with the plain network.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/nn/backbone.h"
#include "common/nn/folded_convolution.h"

namespace ferment::nn {

struct Prediction {
  torch::Tensor features;  // [N, D] float32
  torch::Tensor logits;    // [N, C] float32
};

/// Thread: any number at a time, each for a batch of its own. A face's numbers depend on the face alone, on any machine
/// of one instruction set class.
class InferencePlan {
 public:
  /// `arithmetic`: auto or fp32. Logs the engine and how far it is from the plain network. Errors: Unimplemented (64)
  /// for bf16 and int8; InvalidArgument for weights of another network; those of LoadTensors.
  static Result<InferencePlan> Load(const std::filesystem::path& weights, const BackboneConfig& config, int batch,
                                    const std::string& arithmetic, ConvolutionEngine engine = EngineOfThisProcessor());

  /// `images` [n, 3, H, W] normalised, n <= batch(); padded to the batch, so that a face's numbers do not depend on how
  /// many came with it. Errors: those of Guard.
  Result<Prediction> Run(const torch::Tensor& images) const;

  int batch() const { return batch_; }
  /// Name of the arithmetic in use, for LabelConfigDigest: "fp32".
  const std::string& arithmetic() const { return arithmetic_; }

 private:
  InferencePlan(std::shared_ptr<Backbone> network, int batch) : network_(std::move(network)), batch_(batch) {}

  std::shared_ptr<Backbone> network_;
  int batch_;
  std::string arithmetic_ = "fp32";
};

}  // namespace ferment::nn
