// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/image.h"

#include <algorithm>

namespace ferment::dataset {
namespace {

constexpr std::size_t kChannels = 3;

std::size_t PixelAt(const Image& image, int row, int column) {
  return (static_cast<std::size_t>(row) * static_cast<std::size_t>(image.width) + static_cast<std::size_t>(column)) *
         kChannels;
}

Image Blank(int width, int height) {
  Image image = {width, height, {}};
  image.rgb.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * kChannels);
  return image;
}

}  // namespace

Image Crop(const Image& image, const Box& box) {
  const int left = std::clamp(box.left, 0, image.width);
  const int top = std::clamp(box.top, 0, image.height);
  const int right = std::clamp(box.right, left, image.width);
  const int bottom = std::clamp(box.bottom, top, image.height);
  if (left == right || top == bottom) return {};
  Image result = Blank(right - left, bottom - top);
  for (int row = 0; row < result.height; ++row)
    std::copy_n(image.rgb.data() + PixelAt(image, top + row, left), static_cast<std::size_t>(result.width) * kChannels,
                result.rgb.data() + PixelAt(result, row, 0));
  return result;
}

Image Upright(Image image, int exif_orientation) {
  if (exif_orientation < 2 || exif_orientation > 8) return image;
  const bool transposed = exif_orientation >= 5;
  // After the transposition of 5..8: what is left to mirror.
  const bool flip_rows =
      exif_orientation == 3 || exif_orientation == 4 || exif_orientation == 7 || exif_orientation == 8;
  const bool flip_columns =
      exif_orientation == 2 || exif_orientation == 3 || exif_orientation == 6 || exif_orientation == 7;
  Image result = transposed ? Blank(image.height, image.width) : Blank(image.width, image.height);
  for (int row = 0; row < result.height; ++row) {
    for (int column = 0; column < result.width; ++column) {
      const int mirrored_row = flip_rows ? result.height - 1 - row : row;
      const int mirrored_column = flip_columns ? result.width - 1 - column : column;
      const std::size_t from =
          transposed ? PixelAt(image, mirrored_column, mirrored_row) : PixelAt(image, mirrored_row, mirrored_column);
      std::copy_n(image.rgb.data() + from, kChannels, result.rgb.data() + PixelAt(result, row, column));
    }
  }
  return result;
}

}  // namespace ferment::dataset
