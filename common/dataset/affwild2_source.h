// SPDX-License-Identifier: Apache-2.0
//
// Aff-Wild2 as its users have it on disk: annotation files, two batches of cropped frames, and all their oddities.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"

namespace ferment::dataset {

enum class VideoSet { kTrain, kValidation, kTest };

/// Returns: "train", "validation" or "test".
std::string_view VideoSetName(VideoSet set);

/// One video. A value; frames are numbered from 1 as their files are.
struct Video {
  /// With "_left" or "_right" where two persons share a video.
  std::string name;
  VideoSet set = VideoSet::kTrain;
  /// Frame folder; empty where an annotated video has none.
  std::filesystem::path folder;
  /// Numbers of the frames that have a picture, rising.
  std::vector<std::uint32_t> frames_with_image;
  /// Line k of the annotation at k - 1, into the run's classes; -1: not annotated, or of a class that the run does not
  /// have. Empty for test videos.
  std::vector<std::int8_t> labels;
  /// Rows that the challenge's sample file has for a test video; 0 without such a file.
  std::uint32_t listed_frames = 0;
  /// Label lines of classes that the run does not have.
  std::uint64_t other_class = 0;
  /// What is odd about it, in one sentence each.
  std::vector<std::string> oddities;

  /// Returns: the label of a frame; -1 past the last line.
  int LabelAt(std::uint32_t frame) const;
  /// Returns: the picture of a frame, there or not.
  std::filesystem::path FramePath(std::uint32_t frame) const;
  /// Returns: the last number that a picture, a label line or a listed row has; 0 for none.
  std::uint32_t LastFrame() const;
};

/// Logs how many label lines are of classes that the run does not have. Returns: all videos, sorted by set, then by
/// name; those without frames or labels too. Empty where the spec names no videos. Errors: NotFound for a missing
/// folder or a tree without annotations or frames; DataLoss (file, line) for an annotation whose header lists other
/// classes; InvalidArgument (64) for a format other than affwild2.
Result<std::vector<Video>> LoadVideos(const RunSpec& spec);

/// Returns: the same for one tree and class names in label order.
Result<std::vector<Video>> LoadAffWild2(const std::filesystem::path& path, const std::vector<std::string>& classes);

}  // namespace ferment::dataset
