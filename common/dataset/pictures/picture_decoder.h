// SPDX-License-Identifier: Apache-2.0
//
// The one way from a picture's bytes to pixels: JPEG or PNG, told by the bytes and never by the file's name.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "common/base/result.h"
#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

/// Returns: RGB, as DecodeJpeg or DecodePng has it; both refuse more than kMaxPixels. Thread: any.
/// Errors: DataLoss with the reasons of those two; bytes that are neither are not-a-jpeg, none at all jpeg-empty.
Result<Image> DecodePicture(std::span<const std::byte> bytes);

/// Errors: those of io::ReadFile and of DecodePicture. None names the file: they reach logs, and a file may bear a
/// person's name.
Result<Image> DecodePictureFile(const std::filesystem::path& path);

/// Returns: whether a listing of pictures includes the file: .jpg, .jpeg or .png in any case, and not hidden.
bool HasPictureName(const std::filesystem::path& path);

}  // namespace ferment::dataset
