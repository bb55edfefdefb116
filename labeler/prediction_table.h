// SPDX-License-Identifier: Apache-2.0
//
// Predictions written for people (a line each) and for programs (CSV, JSON).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace ferment::labeler {

enum class PredictFormat { kText, kJson, kCsv };

struct PredictionRow {
  /// A picture, or the folder of a video's frames.
  std::filesystem::path path;
  /// From 1, in a video.
  std::optional<std::uint32_t> frame;
  std::vector<float> probabilities;

  /// Returns: the lowest class with the highest probability.
  std::size_t prediction() const;
};

/// Returns: the rows as docs/formats.md "Predictions" has them. `classes`: names in label order.
std::string PredictionText(const std::vector<PredictionRow>& rows, const std::vector<std::string>& classes,
                           PredictFormat format);

}  // namespace ferment::labeler
