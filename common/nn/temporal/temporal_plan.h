// SPDX-License-Identifier: Apache-2.0
//
// An exported temporal encoder made ready for inference: from a video's frame features to its frames' probabilities.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/nn/temporal/frame_predictions.h"

namespace ferment::nn {

class FramePredictor;
class TemporalEncoder;

/// Thread: one at a time.
class TemporalPlan {
 public:
  /// The encoder of the spec's temporal section and classes, for features of `input_size` values a frame. Errors:
  /// InvalidArgument for weights of another encoder; those of LoadTensors and Guard.
  static Result<TemporalPlan> Load(const std::filesystem::path& weights, const RunSpec& spec, std::int64_t input_size);

  /// `features` [T, D], zeros where there is no face; `present`: one flag a frame. Returns: [T][C], smoothed over the
  /// spec's smoothing.half_width: what an evaluation takes the frames' classes from. Errors: those of Guard.
  Result<FrameTable> Run(std::span<const float> features, const std::vector<bool>& present) const;

  std::size_t input_size() const { return static_cast<std::size_t>(input_size_); }

 private:
  TemporalPlan() = default;

  std::shared_ptr<TemporalEncoder> encoder_;
  std::shared_ptr<FramePredictor> predictor_;
  std::int64_t input_size_ = 0;
  std::size_t half_width_ = 0;
};

}  // namespace ferment::nn
