// SPDX-License-Identifier: Apache-2.0
//
// A network made ready for inference: BatchNorm folded, batches of one size, and its agreement with the plain network.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "common/nn/backbone.h"
#include "common/nn/convolution/folded_convolution.h"
#include "common/nn/inference/prediction.h"

namespace ferment::nn {

class QuantizedNetwork;

/// Thread: any number at a time, each for a batch of its own. A face's numbers depend on the face alone, on any machine
/// of one instruction set class, or GPUs of one model.
class InferencePlan {
 public:
  /// In float32. Logs the engine and how far it is from the plain network. Errors: InvalidArgument for weights of
  /// another network; those of LoadTensors.
  static Result<InferencePlan> Load(const std::filesystem::path& weights, const BackboneConfig& config, int batch,
                                    ConvolutionEngine engine = EngineOfThisProcessor());

  /// In 7-bit activations and 8-bit weights, with ranges taken from `faces` [n, 3, H, W], normalised, n > 0. How well
  /// it agrees with float32 is for the caller to measure. Errors: those of Load; Unimplemented (64) on a processor
  /// without AVX2; InvalidArgument (65) where weights or activations are not finite; Cancelled once `stop` is
  /// requested.
  static Result<InferencePlan> LoadQuantized(const std::filesystem::path& weights, const BackboneConfig& config,
                                             int batch, const torch::Tensor& faces, const std::stop_token& stop = {});

  /// On a GPU, which the calling thread uses (cuda_device.h): in float32, or in bfloat16 up to the last feature map.
  /// How well bfloat16 agrees with float32 is for the caller to measure. Errors: those of Load; OfTheGpu's.
  static Result<InferencePlan> LoadOnGpu(const std::filesystem::path& weights, const BackboneConfig& config, int batch,
                                         int device, torch::Dtype type = torch::kFloat32);

  /// `images` [n, 3, H, W] float32, normalised, on the plan's device, n <= batch(); padded to the batch, so that a
  /// face's numbers do not depend on how many came with it. Returns: on that device. Errors: those of Guard.
  Result<Prediction> Run(const torch::Tensor& images) const;

  int batch() const { return batch_; }

 private:
  explicit InferencePlan(int batch) : batch_(batch) {}

  // One of the two.
  std::shared_ptr<Backbone> network_;
  std::shared_ptr<const QuantizedNetwork> quantized_;
  int batch_;
  torch::Dtype type_ = torch::kFloat32;
};

}  // namespace ferment::nn
