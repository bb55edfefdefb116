// SPDX-License-Identifier: Apache-2.0
//
// Images to PNG files.
#pragma once

#include <cstddef>
#include <vector>

#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

/// Returns: an 8-bit RGB PNG. Requires: image.rgb holds width * height * 3 bytes, both sides at least 1.
std::vector<std::byte> EncodePng(const Image& image);

}  // namespace ferment::dataset
