// SPDX-License-Identifier: Apache-2.0
//
// A decoded picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ferment::dataset {

/// A value.
struct Image {
  int width = 0;
  int height = 0;
  /// height x width x 3, rows from the top, red first.
  std::vector<std::uint8_t> rgb;
};

/// Pixels [left, right) x [top, bottom).
struct Box {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;
};

/// Returns: the part of the image inside the box, which is cut to the image first; empty where they do not meet.
Image Crop(const Image& image, const Box& box);

/// Returns: the image upright, for EXIF's Orientation 1..8; others mean upright.
Image Upright(Image image, int exif_orientation);

}  // namespace ferment::dataset
