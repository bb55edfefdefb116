// SPDX-License-Identifier: Apache-2.0
//
// The PNG files that FER+'s tool writes: eight bits a channel, gray, RGB or RGBA, not interlaced.
#pragma once

#include <cstddef>
#include <span>

#include "common/base/result.h"
#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

/// Returns: whether the bytes begin as a PNG's do.
bool IsPng(std::span<const std::byte> bytes);

/// Returns: RGB, gray repeated three times, alpha left away. Thread: any.
/// Errors: DataLoss whose message starts with not-a-png, png-huge (past jpeg_decoder's kMaxPixels), png-kind (palette,
/// 16 bits, interlaced), or png-broken.
Result<Image> DecodePng(std::span<const std::byte> bytes);

}  // namespace ferment::dataset
