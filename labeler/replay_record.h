// SPDX-License-Identifier: Apache-2.0
//
// Labels one record of a run again, by itself, and compares it with its row in the label set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "common/base/result.h"
#include "labeler/inference_device.h"

namespace ferment::labeler {

struct ReplayReport {
  /// For standard output.
  std::string text;
  /// Every folder of label sets that has the record holds the very row that came out again.
  bool same = false;
};

/// `path`: a run folder, or one of its folders of label sets. Errors: NotFound (65) where no label set has the record
/// or the teacher's file is gone; those of the data, the label sets and MakeTorchAnnotator.
Result<ReplayReport> ReplayRecord(const std::filesystem::path& path, std::uint64_t key, bool json,
                                  const InferenceDevice& device = {});

}  // namespace ferment::labeler
