// SPDX-License-Identifier: Apache-2.0
//
// A video as its users have it on disk: a folder of numbered pictures, and a label for some of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  /// A frame's file is its number, filled up to so many digits with zeros, and this ending.
  int digits = 5;
  std::string ending = ".jpg";
  /// Numbers of the frames that have a picture, rising.
  std::vector<std::uint32_t> frames_with_image;
  /// Of frame k at k - 1, into the run's classes; -1: not annotated, or of a class that the run does not have. Empty
  /// for test videos.
  std::vector<std::int8_t> labels;
  /// Rows that the challenge's sample file has for a test video; 0 without such a file.
  std::uint32_t listed_frames = 0;
  /// Labels of classes that the run does not have.
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

/// Ten hours at 25 pictures a second; a greater number in a name is an identifier, not a place in a video.
inline constexpr std::uint32_t kMostFrames = 1'000'000;

/// Returns: the number of a picture that is named by it, such as "00012.jpg", from 1 to kMostFrames; nothing for any
/// other name.
std::optional<std::uint32_t> FrameNumber(const std::filesystem::path& picture);

/// Takes `folder` as the video's, and its .jpg, .jpeg and .png files that are numbered from 1 as its frames: those that
/// are named as most of them are: filled up with zeros to one width, one ending. Returns: how many files are none; 0
/// where the folder cannot be read.
std::uint64_t ReadFrames(const std::filesystem::path& folder, Video& video);

/// Adds what labels and pictures lack of each other to the oddities.
void NoteGaps(Video& video);

}  // namespace ferment::dataset
