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

/// Predicts one video after the other by an encoder whose weights do not change meanwhile: what is made of them, such
/// as their order for products of matrices, is kept as long as videos want calls of one size, as long ones do; videos
/// shorter than a window are of many sizes. Thread: one at a time; each call uses LibTorch's threads.
class FramePredictor {
 public:
  /// Puts `encoder`, which outlives this, into evaluation mode. Requires: 0 < hop <= window.
  FramePredictor(TemporalEncoder& encoder, std::int64_t classes, std::size_t window, std::size_t hop);

  /// Returns: [T][C] probabilities; rows of frames without a face are interpolated.
  FrameTable Predict(const FrameFeatures& video);

 private:
  const TemporalEncoder::FrozenHalves& HalvesFor(std::int64_t frames);

  TemporalEncoder& encoder_;
  std::int64_t classes_;
  std::size_t window_;
  std::size_t hop_;
  TemporalEncoder::FrozenHalves halves_;  // a second copy of the weights, so one alone
  std::int64_t frames_of_halves_ = 0;
};

/// Returns: flags as a bool tensor [T].
torch::Tensor PresenceTensor(const std::vector<bool>& present);

}  // namespace ferment::nn
