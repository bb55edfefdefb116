// SPDX-License-Identifier: Apache-2.0
//
// Features and logits of every frame of a video by a frozen network, as one file.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/videos/video.h"
#include "labeler/annotator.h"
#include "labeler/lease_client.h"

namespace ferment::labeler {

struct FeatureExtraction {
  const RunSpec& spec;
  const std::string& dataset;
  const Model& model;
  int threads;
};

struct FeatureFile {
  std::filesystem::path file;
  std::string sha256;
  std::uint64_t read = 0;
  /// Frames whose picture is damaged; they are left out of the file, as frames without a face are.
  std::uint64_t quarantined = 0;
  std::map<std::string, std::uint64_t> reasons;
};

/// Returns: the spec's videos of these names. Errors: NotFound naming the first that is not there.
Result<std::vector<dataset::Video>> VideosByName(const RunSpec& spec, const std::vector<std::string>& names);

/// Writes <model.output_dir>/<video>.npz atomically. Errors: Cancelled when asked to stop; those of the annotator and
/// of writing.
Result<FeatureFile> ExtractVideo(const FeatureExtraction& extraction, const dataset::Video& video, Annotator& annotator,
                                 const std::stop_token& stop, std::atomic<std::uint64_t>& done);

}  // namespace ferment::labeler
