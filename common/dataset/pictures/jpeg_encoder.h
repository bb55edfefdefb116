// SPDX-License-Identifier: Apache-2.0
//
// Images to JPEG files.
#pragma once

#include <cstddef>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

/// Returns: a baseline JPEG, 4:2:0, without metadata; the same image and quality give the same bytes with one version
/// of the library. Requires: image.rgb holds width * height * 3 bytes; quality in 1..100. Errors: InvalidArgument for
/// an image without pixels or past 65,500 a side.
Result<std::vector<std::byte>> EncodeJpeg(const Image& image, int quality = 90);

}  // namespace ferment::dataset
