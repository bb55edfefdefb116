// SPDX-License-Identifier: Apache-2.0
//
// Labelled videos in a plain folder: lists of frames or clips with their classes, and a folder of pictures a video.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/videos/video.h"

namespace ferment::dataset {

/// Lists are train.csv, and val.csv or validation.csv. Their header names the columns `video` and `class`, and where a
/// row is one frame, `frame`; without it a row is a clip whose frames all have the class. A class is a name in any case
/// or an index, or -1 or nothing where the frame has none. A video's pictures are in `path`/<video> or
/// `path`/frames/<video>. Test videos are those that test.csv (column `video`) lists; without it, the folders that no
/// list names.
///
/// `classes`: names in label order. Returns: all videos, sorted by set, then by name. Errors: NotFound for a missing
/// folder or one without lists; DataLoss (file, line, value) for a list without such columns, a row that does not fit,
/// a frame listed twice, a video of two sets.
Result<std::vector<Video>> LoadVideoFolder(const std::filesystem::path& path, const std::vector<std::string>& classes);

/// Returns: whether the file is such a list, by its header.
bool ListsVideos(const std::filesystem::path& list);

}  // namespace ferment::dataset
