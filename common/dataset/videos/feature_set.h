// SPDX-License-Identifier: Apache-2.0
//
// The frozen network's features and logits of one video's frames: what a labeler writes and the temporal phase reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::dataset {

/// One NPZ file: `frame` u32 [n], `features` f32 [n, D], `logits` f32 [n, C], `meta` u8 (JSON). A value.
struct FeatureSet {
  std::string dataset;
  std::string video;
  /// Digest of the network that made it, in hex.
  std::string model;
  std::vector<std::string> classes;
  /// 1-based numbers of the frames that have an image, ascending.
  std::vector<std::uint32_t> frame;
  /// Row by row, one a frame.
  std::vector<float> features;
  std::vector<float> logits;

  std::size_t feature_size() const { return frame.empty() ? 0 : features.size() / frame.size(); }
};

/// Returns: the file's bytes; equal content is equal bytes.
std::vector<std::byte> FeatureSetBytes(const FeatureSet& set);

/// Errors: NotFound; DataLoss for a damaged file or arrays that do not fit together.
Result<FeatureSet> ReadFeatureSet(const std::filesystem::path& path);

}  // namespace ferment::dataset
