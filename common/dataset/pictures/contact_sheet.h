// SPDX-License-Identifier: Apache-2.0
//
// Many faces on one page, each with a short caption, to look at a data set with one's own eyes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

struct CaptionedImage {
  /// Empty where there is no picture to show, only a caption that says why.
  Image image;
  /// Printable ASCII, shown in capitals, cut where the cell ends (16 letters).
  std::string caption;
};

struct ContactSheetLayout {
  int columns = 12;
  int cell_pixels = 96;
};

/// Returns: the page, row by row, white; images keep their shape and are scaled to the cell, an empty one is a grey
/// cell. Requires: columns and cells at least 1 and 16.
Image ComposeContactSheet(std::span<const CaptionedImage> images, const ContactSheetLayout& layout);

}  // namespace ferment::dataset
