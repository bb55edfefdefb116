// SPDX-License-Identifier: Apache-2.0
//
// What is known of an accuracy from answers that were right or wrong, however often one looks.
#pragma once

#include "coordinator/core/job.h"

namespace ferment::coordinator {

/// Chance that a sequence ever says something false of the true accuracy, over all looks together.
inline constexpr double kSequenceError = 0.05;

/// A confidence sequence for the mean p of independent right (1) and wrong (0) answers: the bounds of all sizes hold at
/// once with probability 1 - kSequenceError, so it may be looked at after every answer and acted upon at any time.
///
/// With s right of n and a prior Beta(a, b) over p, the mixture of likelihood ratios
///
///   M_n(p) = B(a + s, b + n - s) / (B(a, b) p^s (1 - p)^(n - s))
///
/// is a martingale of mean 1 when p is the true accuracy, so that M_n(p) >= 1 / error ever happens with probability at
/// most `error` (Ville 1939). All p with M_n(p) < 1 / error are the sequence's set for n (Robbins 1970, Ann. Math.
/// Statist. 41; Howard, Ramdas, McAuliffe and Sekhon 2021, Ann. Statist. 49, beta-binomial mixture). The prior lies
/// around `floor`, with the weight of a hundred answers: any prior is valid, this one is quickest about an accuracy a
/// few points below the floor. A value.
class AccuracySequence {
 public:
  /// `floor`: the accuracy that matters, 0 to 1.
  AccuracySequence(double floor, const CanaryCounts& counts) : floor_(floor), counts_(counts) {}

  /// Returns: the share of right answers; 0 without any.
  double Mean() const;
  /// Returns: the highest accuracy that the answers do not rule out.
  double UpperBound() const;
  /// Returns: whether the answers rule out every accuracy from the floor up.
  bool ShownBelowFloor() const;

 private:
  /// Returns: ln M_n(p). Requires: 0 < p.
  double LogMixture(double p) const;

  double floor_;
  CanaryCounts counts_;
};

}  // namespace ferment::coordinator
