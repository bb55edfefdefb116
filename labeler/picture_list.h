// SPDX-License-Identifier: Apache-2.0
//
// The pictures that a person's paths mean, and which folders of them are the frames of a video.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "common/base/result.h"

namespace ferment::labeler {

/// One path as given. A value.
struct PictureGroup {
  std::filesystem::path path;
  /// By name; a video's by frame number.
  std::vector<std::filesystem::path> pictures;
  /// One number a picture, rising, where the folder holds the frames of a video; else empty.
  std::vector<std::uint32_t> frames;
};

/// A folder is a video where all its pictures (.jpg, .jpeg, .png) are named by frame number from 1, as 00001.jpg.
/// Errors: NotFound for a path that is not there, or where no path has a picture.
Result<std::vector<PictureGroup>> ListPictures(const std::vector<std::filesystem::path>& paths);

}  // namespace ferment::labeler
