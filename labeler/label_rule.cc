// SPDX-License-Identifier: Apache-2.0
#include "labeler/label_rule.h"

#include <algorithm>
#include <cmath>

#include "common/io/formats/half_float.h"

namespace ferment::labeler {

std::vector<float> SoftmaxOf(std::span<const float> logits, double tau) {
  const float temperature = static_cast<float>(tau);
  const float highest = *std::max_element(logits.begin(), logits.end());
  std::vector<float> probabilities(logits.size());
  float sum = 0;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    probabilities[c] = std::exp((logits[c] - highest) / temperature);
    sum += probabilities[c];
  }
  for (float& p : probabilities) p /= sum;
  return probabilities;
}

LabelRow ApplyLabelRule(const LabelRule& rule, std::span<const float> logits) {
  if (!std::all_of(logits.begin(), logits.end(), [](float z) { return std::isfinite(z); })) {
    return QuarantinedRow(logits.size());
  }
  const std::vector<float> probabilities = SoftmaxOf(logits, rule.tau);
  const auto best = std::max_element(probabilities.begin(), probabilities.end());
  LabelRow row;
  row.label = static_cast<std::uint8_t>(best - probabilities.begin());
  row.confidence_half = io::HalfFromFloat(*best);
  for (const float p : probabilities) row.probabilities_half.push_back(io::HalfFromFloat(p));
  const bool accepted = static_cast<double>(io::FloatFromHalf(row.confidence_half)) >= rule.threshold;
  row.status = accepted ? dataset::LabelStatus::kLabelled : dataset::LabelStatus::kAbstained;
  return row;
}

LabelRow QuarantinedRow(std::size_t classes) {
  LabelRow row;
  row.probabilities_half.assign(classes, 0);
  return row;
}

}  // namespace ferment::labeler
