// SPDX-License-Identifier: Apache-2.0
//
// The videos of a run, whatever their layout on disk.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/dataset/videos/video.h"

namespace ferment::dataset {

/// Logs how many labels are of classes that the run does not have. Returns: all videos, sorted by set, then by name;
/// those without frames or labels too. Empty where the spec names no videos. Errors: those of LoadVideoSource.
Result<std::vector<Video>> LoadVideos(const RunSpec& spec);

/// Returns: the same for one folder, a format of data.videos.format and class names in label order. Errors: those of
/// LoadAffWild2 and LoadVideoFolder; InvalidArgument (64) for another format.
Result<std::vector<Video>> LoadVideoSource(std::string_view format, const std::filesystem::path& path,
                                           const std::vector<std::string>& classes);

}  // namespace ferment::dataset
