// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/accuracy_sequence.h"

#include <algorithm>
#include <cmath>

namespace ferment::coordinator {
namespace {

constexpr double kPriorAnswers = 100;
constexpr int kHalvings = 50;

double LogBeta(double a, double b) { return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b); }

}  // namespace

double AccuracySequence::Mean() const {
  return counts_.checked == 0 ? 0 : static_cast<double>(counts_.correct) / static_cast<double>(counts_.checked);
}

double AccuracySequence::LogMixture(double p) const {
  const double prior = std::clamp(floor_, 0.01, 0.99);
  const double a = kPriorAnswers * prior;
  const double b = kPriorAnswers * (1 - prior);
  const auto right = static_cast<double>(counts_.correct);
  const auto wrong = static_cast<double>(counts_.checked - counts_.correct);
  return LogBeta(a + right, b + wrong) - LogBeta(a, b) - right * std::log(p) - wrong * std::log1p(-p);
}

double AccuracySequence::UpperBound() const {
  if (counts_.correct == counts_.checked) return 1;
  // From the mean up the mixture only grows; at 1 it is infinite.
  double inside = std::max(Mean(), 1e-12);
  double outside = 1;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (inside + outside) / 2;
    (LogMixture(middle) < -std::log(kSequenceError) ? inside : outside) = middle;
  }
  return outside;
}

bool AccuracySequence::ShownBelowFloor() const {
  if (counts_.correct == counts_.checked || Mean() >= floor_) return false;
  return LogMixture(floor_) >= -std::log(kSequenceError);
}

}  // namespace ferment::coordinator
