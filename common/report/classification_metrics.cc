// SPDX-License-Identifier: Apache-2.0
#include "common/report/classification_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/check.h"

namespace ferment::report {

ConfusionMatrix::ConfusionMatrix(int classes)
    : classes_(classes), counts_(static_cast<std::size_t>(classes) * static_cast<std::size_t>(classes)) {
  FERMENT_CHECK(classes > 0);
}

void ConfusionMatrix::Add(int label, int prediction) {
  FERMENT_CHECK(prediction >= 0 && prediction < classes_) << "prediction=" << prediction;
  if (label < 0 || label >= classes_) return;
  ++counts_[static_cast<std::size_t>(label * classes_ + prediction)];
}

void ConfusionMatrix::Merge(const ConfusionMatrix& other) {
  FERMENT_CHECK(other.classes_ == classes_);
  std::transform(counts_.begin(), counts_.end(), other.counts_.begin(), counts_.begin(), std::plus<>());
}

std::uint64_t ConfusionMatrix::Count(int label, int prediction) const {
  return counts_[static_cast<std::size_t>(label * classes_ + prediction)];
}

std::uint64_t ConfusionMatrix::Total() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

double ConfusionMatrix::Accuracy() const {
  const std::uint64_t total = Total();
  if (total == 0) return 0;
  std::uint64_t correct = 0;
  for (int c = 0; c < classes_; ++c) correct += Count(c, c);
  return static_cast<double>(correct) / static_cast<double>(total);
}

std::vector<double> ConfusionMatrix::PerClassF1() const {
  std::vector<double> scores;
  for (int c = 0; c < classes_; ++c) {
    std::uint64_t labelled = 0;
    std::uint64_t predicted = 0;
    for (int other = 0; other < classes_; ++other) {
      labelled += Count(c, other);
      predicted += Count(other, c);
    }
    const std::uint64_t either = labelled + predicted;
    scores.push_back(either == 0 ? 0.0 : 2.0 * static_cast<double>(Count(c, c)) / static_cast<double>(either));
  }
  return scores;
}

double ConfusionMatrix::MacroF1() const {
  const std::vector<double> scores = PerClassF1();
  return std::accumulate(scores.begin(), scores.end(), 0.0) / classes_;
}

std::vector<std::vector<std::uint64_t>> ConfusionMatrix::Rows() const {
  std::vector<std::vector<std::uint64_t>> rows;
  for (int label = 0; label < classes_; ++label) {
    const auto begin = counts_.begin() + static_cast<std::ptrdiff_t>(label) * classes_;
    rows.emplace_back(begin, begin + classes_);
  }
  return rows;
}

double ExpectedCalibrationError(std::span<const ScoredPrediction> predictions, int bins) {
  struct Bin {
    double confidence = 0;
    double correct = 0;
  };
  std::vector<Bin> sums(static_cast<std::size_t>(bins));
  for (const ScoredPrediction& p : predictions) {
    const auto bin = std::clamp(static_cast<int>(std::ceil(p.confidence * bins)) - 1, 0, bins - 1);
    sums[static_cast<std::size_t>(bin)].confidence += p.confidence;
    sums[static_cast<std::size_t>(bin)].correct += p.correct ? 1 : 0;
  }
  double error = 0;
  for (const Bin& bin : sums) error += std::abs(bin.correct - bin.confidence);
  return predictions.empty() ? 0 : error / static_cast<double>(predictions.size());
}

}  // namespace ferment::report
