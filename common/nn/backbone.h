// SPDX-License-Identifier: Apache-2.0
//
// The networks that see one face at a time: what all of them have in common, and how to make one.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/config/run_spec.h"
#include "common/nn/batch_norm.h"

namespace ferment::nn {

struct BackboneConfig {
  /// resnet18, resnet50 or iresnet50.
  std::string name;
  /// Channels of the first stage; 64 is the standard, every channel count is scaled by width / 64.
  int width = 64;
  /// Pixels a side.
  int image_size = 112;
  int classes = 8;
};

/// Returns: the network of the spec's model section and classes.
BackboneConfig BackboneOf(const RunSpec& spec);

/// The type of the images decides what is computed in. bfloat16 images through a float32 network: convolutions and
/// feature maps in bfloat16, sums and statistics in float32, and so is all that follows the last feature map (decision
/// 33).
///
/// Throws c10::Error: call under Guard.
class Backbone : public torch::nn::Module {
 public:
  ~Backbone() override = default;
  /// `images` [N, 3, H, W] normalised. Returns: [N, feature_size()], what the classifier sees, in the weights' type.
  virtual torch::Tensor Features(const torch::Tensor& images) = 0;
  /// Returns: logits [N, C] of features [N, D].
  virtual torch::Tensor Classify(const torch::Tensor& features) = 0;
  /// Returns: logits [N, C] of images.
  torch::Tensor forward(const torch::Tensor& images) { return Classify(Features(images)); }
  virtual std::int64_t feature_size() const = 0;
  /// Folds every BatchNorm that follows a convolution into it, for inference alone, of images of folding.type.
  virtual void FoldBatchNorm(const Folding& folding) = 0;

  /// Moves and casts what is floating-point; weights of convolutions become channels-last, which they run fastest on.
  /// BatchNorm's counters, which Module::to would cast too, stay integers, and on the host: only it counts.
  void MoveTo(torch::Device device, torch::Dtype dtype);

  /// Sets the mode of every BatchNorm. Requires: `exchange` outlives the network, for kSync.
  void SetBatchNorm(BatchNormMode mode, StatisticsExchange* exchange = nullptr);
};

/// Returns: a network whose weights depend on (config, seed, stream) alone. Parameters and buffers are named and
/// ordered as torchvision's (resnet18, resnet50) or InsightFace's arcface_torch (iresnet50, with a `classifier` after
/// its `features`). Requires: a name from the list above.
std::shared_ptr<Backbone> MakeBackbone(const BackboneConfig& config, std::uint64_t seed, std::uint64_t stream);

}  // namespace ferment::nn
