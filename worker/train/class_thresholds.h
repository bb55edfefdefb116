// SPDX-License-Identifier: Apache-2.0
//
// How sure of a label the teacher must be, by class.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace ferment::worker {

/// By class; both empty: nothing was seen yet. Moving averages of shares of the unlabelled faces of a step.
struct ClassStatus {
  std::vector<double> labelled;   // faces that the teacher gave this label
  std::vector<double> confident;  // those of them that reach the fixed threshold

  bool operator==(const ClassStatus&) const = default;
};

/// The fixed rule: one threshold for all. The dynamic one: threshold * b / (2 - b), where b is the share of the class's
/// labels that are confident by that share over all classes, at most 1: a class which the teacher is slower to learn
/// than the others is not left without faces. A step's thresholds come from the steps before it; the first step's are
/// the fixed ones. A value.
class ClassThresholds {
 public:
  ClassThresholds(double threshold, bool dynamic) : threshold_(threshold), dynamic_(dynamic) {}

  bool dynamic() const { return dynamic_; }
  double fixed() const { return threshold_; }
  /// Returns: [classes] as they are for the next step.
  std::vector<double> Of(std::size_t classes) const;
  /// Counts of a step that counts, over all ranks, by class; `faces`: the unlabelled ones. The fixed rule learns
  /// nothing. Requires: as many classes as ever.
  void Observe(std::span<const double> labelled, std::span<const double> confident, double faces);

  const ClassStatus& status() const { return status_; }
  void set_status(ClassStatus status) { status_ = std::move(status); }

 private:
  double threshold_;
  bool dynamic_;
  ClassStatus status_;
};

}  // namespace ferment::worker
