// SPDX-License-Identifier: Apache-2.0
#include "worker/train/losses.h"

#include <torch/nn/functional/loss.h>

#include "common/base/check.h"

namespace ferment::worker {

torch::Tensor CrossEntropyPerSample(const torch::Tensor& logits, const torch::Tensor& labels, double smoothing) {
  return torch::nn::functional::cross_entropy(
      logits, labels,
      torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone).label_smoothing(smoothing));
}

torch::Tensor CrossEntropySum(const torch::Tensor& logits, const torch::Tensor& labels, double smoothing,
                              const torch::Tensor& weights) {
  torch::Tensor losses = CrossEntropyPerSample(logits, labels, smoothing);
  return weights.defined() ? (losses * weights).sum() : losses.sum();
}

torch::Tensor ConsistencySum(const torch::Tensor& target, const torch::Tensor& mask, const torch::Tensor& logits) {
  return -((target * torch::log_softmax(logits, 1)).sum(1) * mask).sum();
}

PseudoLabels LabelWeakViews(const torch::Tensor& weak_logits, double tau, const std::vector<double>& thresholds) {
  FERMENT_CHECK(thresholds.size() == static_cast<std::size_t>(weak_logits.size(1)));
  torch::NoGradGuard no_grad;
  PseudoLabels labels;
  labels.probabilities = torch::softmax(weak_logits.detach() / tau, 1);
  labels.confidence = labels.probabilities.amax(1);
  // argmax leaves open which of equal maxima it names.
  const torch::Tensor classes = torch::arange(weak_logits.size(1), weak_logits.options().dtype(torch::kInt64));
  const torch::Tensor is_max = labels.probabilities == labels.confidence.unsqueeze(1);
  // A row with a NaN has no maximum. It gets some class, so that its loss becomes a NaN instead of an exception.
  labels.label = torch::where(is_max, classes, weak_logits.size(1)).amin(1).clamp_max(weak_logits.size(1) - 1);
  const torch::Tensor limits = torch::tensor(thresholds, torch::kFloat64).to(weak_logits.options());
  labels.mask = (labels.confidence >= limits.index_select(0, labels.label)).to(weak_logits.scalar_type());
  return labels;
}

torch::Tensor CountLabels(const PseudoLabels& labels, double confident) {
  torch::NoGradGuard no_grad;
  const torch::Tensor rows = torch::one_hot(labels.label, labels.probabilities.size(1)).to(torch::kFloat64);
  const torch::Tensor sure = (labels.confidence >= confident).to(torch::kFloat64).unsqueeze(1);
  return torch::stack({rows.sum(0), (rows * sure).sum(0)}).to(torch::kCPU);
}

}  // namespace ferment::worker
