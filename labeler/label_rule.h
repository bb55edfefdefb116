// SPDX-License-Identifier: Apache-2.0
//
// From a face's logits to its row in a label set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/dataset/labels/label_set.h"

namespace ferment::labeler {

struct LabelRule {
  /// Temperature of the softmax.
  double tau = 1.0;
  /// Least confidence of a label, against the confidence as stored.
  double threshold = 0.6;
};

struct LabelRow {
  std::uint8_t label = dataset::kNoLabel;
  std::uint16_t confidence_half = 0;
  std::vector<std::uint16_t> probabilities_half;
  dataset::LabelStatus status = dataset::LabelStatus::kQuarantined;
};

/// Returns: p = softmax(z / tau) in float32, its lowest argmax, and whether the stored confidence reaches the
/// threshold. Requires: 1 to 254 logits. Logits that are not finite are quarantined.
LabelRow ApplyLabelRule(const LabelRule& rule, std::span<const float> logits);

/// Returns: the row of a record that no network saw: label 255, zeros.
LabelRow QuarantinedRow(std::size_t classes);

/// Returns: softmax(z / tau) in float32.
std::vector<float> SoftmaxOf(std::span<const float> logits, double tau);

}  // namespace ferment::labeler
