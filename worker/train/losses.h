// SPDX-License-Identifier: Apache-2.0
//
// The loss terms of docs/method.md as sums over this rank's rows; the caller divides by the global count.
#pragma once

#include <torch/types.h>

#include <vector>

namespace ferment::worker {

/// Returns: [N] (1-e)(-log p_y) + e/C sum_c(-log p_c), as torch's cross_entropy with label_smoothing e.
torch::Tensor CrossEntropyPerSample(const torch::Tensor& logits, const torch::Tensor& labels, double smoothing);

/// Returns: sum_i weight_i * CE_e(logits_i, labels_i); an undefined `weights` is all ones.
torch::Tensor CrossEntropySum(const torch::Tensor& logits, const torch::Tensor& labels, double smoothing,
                              const torch::Tensor& weights = {});

/// Returns: sum_i mask_i * (-sum_c target_ic log softmax(logits_i)_c).
torch::Tensor ConsistencySum(const torch::Tensor& target, const torch::Tensor& mask, const torch::Tensor& logits);

/// What the teacher says about the weak views (docs/method.md, rule 4).
struct PseudoLabels {
  torch::Tensor probabilities;  // [N, C] softmax(z / tau), detached
  torch::Tensor confidence;     // [N] their maximum
  torch::Tensor label;          // [N] int64, the lowest index of the maximum; some class where a probability is NaN
  torch::Tensor mask;           // [N] 1 where confidence >= the label's threshold, else 0; dtype of the logits
};
/// `thresholds`: [C] of each label.
PseudoLabels LabelWeakViews(const torch::Tensor& weak_logits, double tau, const std::vector<double>& thresholds);

/// Returns: [2, C] float64 on the CPU: rows of each label, and those of them whose confidence reaches `confident`.
torch::Tensor CountLabels(const PseudoLabels& labels, double confident);

}  // namespace ferment::worker
