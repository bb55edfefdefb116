// SPDX-License-Identifier: Apache-2.0
//
// Videos as the temporal phase sees them: frozen features beside annotations, and windows drawn from them for training.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/config/run_spec.h"
#include "common/dataset/videos/video.h"
#include "common/nn/temporal/temporal_inference.h"

namespace ferment::worker {

/// One video: T rows, which are the lines of its annotation, or the frames of a video without one. A value; copies
/// share tensors.
struct Clip {
  std::string video;
  dataset::VideoSet set;
  nn::FrameFeatures frames;
  /// [T]; -1 = not annotated.
  std::vector<int> labels;
};

/// Reads the feature files of `model` for every video of the spec, in the source's order. A video without one face is
/// left out, but a test video that has frames: all of them are absent.
/// Errors: NotFound naming the video whose features are missing; DataLoss when they are of other classes, another model
/// or another video.
Result<std::vector<Clip>> LoadClips(const RunSpec& spec, const RunLayout& layout, const std::string& model);

/// Errors: NotFound (65) when no validation clip has a labelled frame: figures would be of nothing.
Status CheckValidated(const std::vector<Clip>& clips);

/// A batch of training windows. Frames past a clip's end are absent and unlabelled.
struct WindowBatch {
  torch::Tensor features;  // [B, W, D] float32
  torch::Tensor present;   // [B, W] bool
  torch::Tensor labels;    // [B, W] int64; -1 where there is no label or no face: not trained on
};

/// Draws windows from the annotated training clips. Which ones depends on (seed, step, row) alone, so that every
/// encoder and every world size sees the same. A value over clips that outlive it.
class WindowSampler {
 public:
  /// Errors: NotFound (65) when no training clip has a labelled frame with a face.
  static Result<WindowSampler> Make(const std::vector<Clip>& clips, std::size_t window, std::uint64_t seed);

  /// Returns: rows [begin, end) of the global batch of this step.
  WindowBatch Draw(std::uint64_t step, std::size_t batch, std::size_t begin, std::size_t end) const;
  /// Returns: labelled frames with a face of each class, over all training clips.
  std::vector<std::uint64_t> ClassCounts(int classes) const;

 private:
  struct Place {
    const Clip* clip;
    std::size_t frame;
  };
  WindowSampler(std::vector<Place> places, std::size_t window, std::uint64_t seed)
      : places_(std::move(places)), window_(window), seed_(seed) {}

  std::vector<Place> places_;
  std::size_t window_;
  std::uint64_t seed_;
};

}  // namespace ferment::worker
