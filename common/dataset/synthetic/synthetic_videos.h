// SPDX-License-Identifier: Apache-2.0
//
// Rendered videos of one person each, in an Aff-Wild2 tree: expressions come, stay and go, with gaps as in the real
// one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/dataset/synthetic/synthetic_faces.h"

namespace ferment::dataset {

struct SyntheticFrame {
  FaceShot shot;
  /// What the face shows: the expression from the middle of its onset to the middle of its offset, else Neutral.
  int truth = 0;
  /// As annotated: the truth, or -1.
  int label = 0;
  /// False: no face was found, there is no jpg.
  bool has_image = true;
};

struct SyntheticVideo {
  std::string name;
  FaceIdentity identity;
  std::vector<SyntheticFrame> frames;
};

/// Which split's cards and persons; the number is that of its first person.
enum class VideoSplit : std::uint64_t { kTrain = 4'000'000, kValidation = 5'000'000, kTest = 6'000'000 };

/// Returns: the scripts of `count` videos of about `mean_frames` frames; nothing is rendered yet. Over 20 expressions
/// of a split in a row every class comes, in the skew of Aff-Wild2's frames.
std::vector<SyntheticVideo> ScriptVideos(std::uint64_t seed, VideoSplit split, std::uint32_t count,
                                         std::uint32_t mean_frames);

/// Renders all three splits into `out`. Errors: those of writing files; Cancelled once `stop` is requested, by the next
/// frame.
Status RenderSyntheticVideos(std::uint64_t seed, const v1::SyntheticSpec& sizes, const std::filesystem::path& out,
                             const std::stop_token& stop = {});

}  // namespace ferment::dataset
