// SPDX-License-Identifier: Apache-2.0
//
// From class probabilities of windows to one class a frame: overlap average, gap filling, box smoothing, argmax.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ferment::nn {

/// One row of class values a frame of a video, [frames][classes], row by row. A value.
class FrameTable {
 public:
  FrameTable(std::size_t frames, std::size_t classes) : classes_(classes), values_(frames * classes, 0.0F) {}

  std::size_t frames() const { return classes_ == 0 ? 0 : values_.size() / classes_; }
  std::size_t classes() const { return classes_; }
  std::span<float> Row(std::size_t frame) { return std::span(values_).subspan(frame * classes_, classes_); }
  std::span<const float> Row(std::size_t frame) const { return std::span(values_).subspan(frame * classes_, classes_); }

  friend bool operator==(const FrameTable&, const FrameTable&) = default;

 private:
  std::size_t classes_;
  std::vector<float> values_;
};

struct FrameWindow {
  std::size_t begin;
  std::size_t length;
  friend bool operator==(const FrameWindow&, const FrameWindow&) = default;
};

/// Cuts a video into windows of `window` frames every `hop`; the last one is right-aligned, a shorter video is one
/// window. Every frame is in at least one window. Requires: 0 < hop <= window.
std::vector<FrameWindow> CutWindows(std::size_t frames, std::size_t window, std::size_t hop);

/// Averages the logits of overlapping windows, frame by frame.
class OverlapAverage {
 public:
  OverlapAverage(std::size_t frames, std::size_t classes) : sum_(frames, classes), count_(frames, 0) {}
  /// `logits`: [window.length][classes].
  void Add(const FrameWindow& window, std::span<const float> logits);
  /// Returns: the means; zeros where no window reached.
  FrameTable Mean() const;

 private:
  FrameTable sum_;
  std::vector<std::uint32_t> count_;
};

/// Row by row, with the row's maximum taken out first.
FrameTable Softmax(const FrameTable& logits);

/// Gives each frame without a face the linear interpolation between its neighbours with one; before the first and after
/// the last it copies theirs. With no face at all every row becomes uniform. `present`: one flag a frame.
FrameTable FillGaps(const FrameTable& probabilities, const std::vector<bool>& present);

/// Centred box filter; the box shrinks at both ends to [max(i - half_width, 0), min(i + half_width, frames - 1)].
/// half_width 0 is the identity.
FrameTable BoxSmooth(const FrameTable& probabilities, std::size_t half_width);

/// Returns: the lowest class with the highest value, a frame.
std::vector<int> ArgmaxRows(const FrameTable& table);

}  // namespace ferment::nn
