// SPDX-License-Identifier: Apache-2.0
//
// The steps of the temporal encoder that bench/train_step.cc times.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "common/nn/temporal/frame_predictions.h"
#include "common/nn/temporal/temporal_encoder.h"
#include "common/nn/temporal/temporal_inference.h"
#include "worker/train/optimizer/adamw.h"

namespace ferment::worker {

/// The temporal encoder at the spec's defaults, on features of a ResNet-50: a batch of windows on `device`, and a video
/// in the host's memory, where features are read to.
class TemporalBench {
 public:
  explicit TemporalBench(torch::Device device);

  /// Writes what the peers start from.
  Status Save(const std::filesystem::path& folder) const;

  /// As worker/recipes/temporal_recipe.cc makes it. Returns: the loss.
  std::vector<double> Train();
  /// Returns: what dropout does not touch, for comparison.
  double LossInEvaluation();
  std::vector<double> Predict();

 private:
  static constexpr std::int64_t kBatch = 32, kWindow = 64, kInput = 2048, kClasses = 8, kFrames = 2048;

  torch::Tensor Loss(const nn::DropoutSeed& seed);

  const std::shared_ptr<nn::TemporalEncoder> encoder_;
  NamedTensors parameters_;
  std::optional<AdamW> optimizer_;
  torch::Tensor windows_;
  torch::Tensor labels_;
  nn::FrameFeatures video_;
  std::optional<nn::FramePredictor> predictor_;  // of weights that Train has not changed since
  std::uint64_t steps_ = 0;
};

}  // namespace ferment::worker
