// SPDX-License-Identifier: Apache-2.0
//
// JPEG bytes to pixels as Pillow decodes them, and never more memory than a sane picture needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

/// Past this a picture is refused from its header, before anything is allocated.
inline constexpr std::uint64_t kMaxPixels = 64ULL * 1024 * 1024;
/// Scans of a progressive picture; real ones have about ten.
inline constexpr int kMaxScans = 100;

/// Returns: whether the bytes begin as a JPEG's do.
bool IsJpeg(std::span<const std::byte> bytes);

/// Returns: RGB, gray repeated three times, EXIF orientation applied. Thread: any.
/// Errors: DataLoss whose message starts with jpeg-empty, not-a-jpeg, jpeg-huge, jpeg-cmyk (four components: no profile
/// to convert by), jpeg-truncated (pixels missing), jpeg-scans, or jpeg-broken.
Result<Image> DecodeJpeg(std::span<const std::byte> bytes);

}  // namespace ferment::dataset
