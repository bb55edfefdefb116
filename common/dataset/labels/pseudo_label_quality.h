// SPDX-License-Identifier: Apache-2.0
//
// How right pseudo-labels are, where somebody has the truth; for measuring only, never for training.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/labels/label_set.h"

namespace ferment::dataset {

/// True class by record key; -1 where the truth has none.
using LabelTruth = std::map<std::uint64_t, int>;

/// Returns: the rows of a CSV whose header begins "key,class". Errors: NotFound; DataLoss with the line for a row that
/// is not two numbers, a key twice, or a class outside 0..classes-1 (-1 is kept as unknown).
Result<LabelTruth> ReadLabelTruth(const std::filesystem::path& path, int classes);

struct ReliabilityBin {
  std::uint64_t count = 0;
  double mean_confidence = 0;
  /// NaN without truth.
  double accuracy = 0;
};

inline constexpr std::size_t kReliabilityBins = 15;

struct ClassQuality {
  /// Labelled rows with this label (the pseudo-class histogram).
  std::uint64_t labelled = 0;
  /// Read rows whose truth is this class.
  std::uint64_t true_count = 0;
  std::uint64_t correct = 0;
  /// correct / labelled among rows with a truth, and correct / true_count; NaN where the divisor is 0.
  double precision = 0;
  double recall = 0;
};

/// Figures over all rows of some label sets. Accuracy and the classes count labelled rows; the reliability bins count
/// every row that is not quarantined, in equal widths of confidence over [0, 1].
struct PseudoLabelQuality {
  LabelCounts counts;
  std::vector<ClassQuality> per_class;
  std::array<ReliabilityBin, kReliabilityBins> reliability;
  /// labelled / (read - quarantined); 0 where that is 0.
  double coverage = 0;
  /// Correct share of labelled rows with a truth; NaN where there is none.
  double accuracy = 0;
  /// The same over labelled and abstained rows: what a threshold of 0 would give.
  double accuracy_without_threshold = 0;
  std::map<std::string, std::uint64_t> reasons;
};

/// Returns: the figures; `truth` may be empty (coverage and histogram only). Requires: sets agree in their classes.
PseudoLabelQuality MeasurePseudoLabels(std::span<const LabelSet> sets, const LabelTruth& truth);

}  // namespace ferment::dataset
