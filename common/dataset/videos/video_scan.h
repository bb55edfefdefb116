// SPDX-License-Identifier: Apache-2.0
//
// What is in a folder of videos: a row each, and sums by set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "common/base/result.h"

namespace ferment::dataset {

/// Adds "videos" and "sets" to what was found, as ScanData says. `format`: of data.videos.format. Errors: those of
/// LoadVideoSource.
Status ScanVideos(std::string_view format, const std::filesystem::path& path, Json& found);

/// Returns: {expression: count}. Requires: a count for each of the eight expressions.
Json ClassCounts(const std::vector<std::uint64_t>& counts);

}  // namespace ferment::dataset
