// SPDX-License-Identifier: Apache-2.0
//
// Class probabilities of every frame of a video by a temporal encoder: windows, overlap average, softmax, filled gaps.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "common/nn/temporal/frame_predictions.h"
#include "common/nn/temporal/temporal_encoder.h"

namespace ferment::nn {

/// One video's frozen features. A value; copies share the tensor.
struct FrameFeatures {
  /// [T, D] float32, zeros where there is no face.
  torch::Tensor features;
  /// One flag a frame.
  std::vector<bool> present;
};

/// Puts `encoder` into evaluation mode. Returns: [T][C] probabilities; rows of frames without a face are interpolated.
/// Requires: 0 < hop <= window.
FrameTable PredictFrames(TemporalEncoder& encoder, const FrameFeatures& video, std::int64_t classes, std::size_t window,
                         std::size_t hop);

/// Returns: flags as a bool tensor [T].
torch::Tensor PresenceTensor(const std::vector<bool>& present);

}  // namespace ferment::nn
