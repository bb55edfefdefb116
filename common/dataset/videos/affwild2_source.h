// SPDX-License-Identifier: Apache-2.0
//
// Aff-Wild2 as its users have it on disk: annotation files, two batches of cropped frames, and all their oddities.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/videos/video.h"

namespace ferment::dataset {

/// `classes`: names in label order. Returns: all videos, sorted by set, then by name; those without frames or labels
/// too; a test video's frame folder is named by no annotation, and those that EXPR_test_set_videos.txt or
/// EXPR_test_set_sample.txt names are test videos without a folder too. Errors: NotFound for a missing folder or a tree
/// without annotations or frames; DataLoss (file, line) for an annotation whose header lists other classes.
Result<std::vector<Video>> LoadAffWild2(const std::filesystem::path& path, const std::vector<std::string>& classes);

}  // namespace ferment::dataset
