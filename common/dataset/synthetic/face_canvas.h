// SPDX-License-Identifier: Apache-2.0
//
// A small anti-aliased painter: filled outlines, brush strokes and discs on a picture of floats.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

struct Point {
  float x = 0;
  float y = 0;
};

/// Red, green, blue, 0..1.
using Colour = std::array<float, 3>;

/// Returns: a + (b - a) * t, channel by channel.
Colour Mix(const Colour& a, const Colour& b, float t);

/// How much of each pixel a shape covers, inside the box [left, right) x [top, bottom); nothing outside.
struct Coverage {
  int left = 0, top = 0, right = 0, bottom = 0;
  std::vector<float> share;

  float At(int x, int y) const {
    if (x < left || x >= right || y < top || y >= bottom) return 0;
    return share[static_cast<std::size_t>((y - top) * (right - left) + (x - left))];
  }
};

/// Square; coordinates are pixels, (0, 0) the top left corner. A value; Thread: one.
class FaceCanvas {
 public:
  explicit FaceCanvas(int size);

  int size() const { return size_; }
  float* pixel(int x, int y) { return &rgb_[static_cast<std::size_t>((y * size_ + x) * 3)]; }

  /// Returns: the coverage of a closed outline, even-odd.
  Coverage Outline(std::span<const Point> points) const;
  /// Returns: the coverage of a line through the points, `begin_width` wide at the first and `end_width` at the last,
  /// round ends.
  Coverage Stroke(std::span<const Point> points, float begin_width, float end_width) const;
  Coverage Disc(Point centre, float radius) const;

  /// Blends the colour where the shape covers, `opacity` 0..1, only inside `clip` if there is one.
  void Paint(const Coverage& shape, const Colour& colour, float opacity = 1, const Coverage* clip = nullptr);
  /// Blurs by a 3x3 binomial kernel mixed in by `amount` 0..1.
  void Blur(float amount);
  Image ToImage() const;

 private:
  Coverage EmptyBox(float left, float top, float right, float bottom) const;

  int size_;
  std::vector<float> rgb_;
};

}  // namespace ferment::dataset
