// SPDX-License-Identifier: Apache-2.0
//
// Macro F1, confusion and calibration of a classifier, pooled over all samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ferment::report {

/// Counts of (label, prediction). A value.
class ConfusionMatrix {
 public:
  /// Requires: classes > 0.
  explicit ConfusionMatrix(int classes);

  /// A label outside 0 .. classes-1 (such as -1, not annotated) is not counted. Requires: the prediction is a class.
  void Add(int label, int prediction);
  /// Requires: equal class counts.
  void Merge(const ConfusionMatrix& other);

  int classes() const { return classes_; }
  std::uint64_t Count(int label, int prediction) const;
  std::uint64_t Total() const;
  double Accuracy() const;
  /// F1 of each class; 0 for a class that is absent from labels and predictions.
  std::vector<double> PerClassF1() const;
  /// The unweighted mean of PerClassF1 over all classes, absent ones included (ABAW's metric; always the same divisor).
  double MacroF1() const;
  /// Returns: [label][prediction].
  std::vector<std::vector<std::uint64_t>> Rows() const;

 private:
  int classes_;
  std::vector<std::uint64_t> counts_;
};

struct ScoredPrediction {
  double confidence;
  bool correct;
};

/// Expected calibration error (Naeini et al. 2015): bin j of B holds j/B < confidence <= (j+1)/B.
/// Returns: 0 for no predictions.
double ExpectedCalibrationError(std::span<const ScoredPrediction> predictions, int bins = 15);

}  // namespace ferment::report
