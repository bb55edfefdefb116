// SPDX-License-Identifier: Apache-2.0
#include "worker/train/class_thresholds.h"

#include <algorithm>
#include <numeric>

namespace ferment::worker {
namespace {

/// As the baseline of h forgets.
constexpr double kKept = 0.99;
/// A class is taken for an average one until it has been seen: so large a share of the faces counts as average for it.
constexpr double kUnseen = 0.01;

double Sum(const std::vector<double>& shares) { return std::accumulate(shares.begin(), shares.end(), 0.0); }

void Move(std::vector<double>& average, std::span<const double> counts, double faces) {
  for (std::size_t c = 0; c < counts.size(); ++c) average[c] = kKept * average[c] + (1 - kKept) * (counts[c] / faces);
}

}  // namespace

std::vector<double> ClassThresholds::Of(std::size_t classes) const {
  std::vector<double> thresholds(classes, threshold_);
  const double confident = Sum(status_.confident);
  if (!dynamic_ || confident <= 0) return thresholds;
  const double average = confident / Sum(status_.labelled);
  for (std::size_t c = 0; c < classes; ++c) {
    const double sure = (status_.confident[c] + kUnseen * average) / (status_.labelled[c] + kUnseen);
    const double learned = std::min(1.0, sure / average);
    thresholds[c] = threshold_ * learned / (2 - learned);
  }
  return thresholds;
}

void ClassThresholds::Observe(std::span<const double> labelled, std::span<const double> confident, double faces) {
  if (!dynamic_) return;
  status_.labelled.resize(labelled.size());
  status_.confident.resize(labelled.size());
  Move(status_.labelled, labelled, faces);
  Move(status_.confident, confident, faces);
}

}  // namespace ferment::worker
