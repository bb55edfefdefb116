// SPDX-License-Identifier: Apache-2.0
//
// One step of co-training: the student learns from the teacher, and the teacher from how much that helped.
#pragma once

#include <optional>

#include "worker/recipes/cotrain/cotrain_placement.h"
#include "worker/recipes/cotrain/cotrain_student.h"
#include "worker/recipes/cotrain/cotrain_teacher.h"

namespace ferment::worker {

/// Where a step may turn out not to be finite, in their order (late feedback: the teacher's part is told of last too).
enum class StepPart { kLabels, kStudent, kTeacher };

/// Equal on all ranks, but for the rows and gradients, which only the ranks of their network have.
struct CotrainOutcome {
  /// False: a loss, gradient, statistic or weight was not finite; networks, statistics, optimisers and baseline are as
  /// before the step.
  bool finite = true;
  /// Set where it is not finite.
  std::optional<StepPart> undone_in;
  TeacherFigures teacher;
  StudentFigures student;
  double h = 0;
  /// Why h is not what the student found: "undone", "before_start" or "no_student_step". Null: it is, or no h is
  /// wanted.
  const char* feedback_dropped = nullptr;
  double baseline_before = 0;
  double baseline_after = 0;
  /// Under class thresholds, on the teacher's ranks: those of this step, and the status that they come from.
  std::vector<double> thresholds;
  ClassStatus status_before;
  ClassStatus status_after;
  /// The teacher's rows, where this rank has some.
  PseudoLabels pseudo;
  RowLabels labels;
};

/// What late feedback carries from one step to the next; `credit.view` is empty after a restart, until the caller has
/// made it anew. Equal on all ranks but for the rows, which only the teacher's ranks have.
struct PendingCredit {
  std::uint64_t step = 0;
  LateCredit credit;
};

/// The parts of the step that this rank has. Whether a step is undone is decided by numbers that every rank has, so
/// that a NaN in one rank's rows undoes the step on all.
///
/// Thread: the loop's. All references outlive it.
class CotrainStep {
 public:
  /// `teacher` is null where the placement says that the rank does not teach; `student` and `average` where it does not
  /// learn. `trace` may be null.
  CotrainStep(TrainedNetwork* teacher, TrainedNetwork* student, AveragedNetwork* average, FeedbackBaseline& baseline,
              const CotrainRules& rules, const CotrainPlacement& placement, Trace* trace = nullptr);
  CotrainStep(const CotrainStep&) = delete;
  CotrainStep& operator=(const CotrainStep&) = delete;

  Result<CotrainOutcome> Run(std::uint64_t step, const CotrainBatch& batch, const CotrainRates& rates);

  /// Under rules.late_feedback: what the next step will credit.
  std::optional<PendingCredit>& pending() { return pending_; }
  /// Where this rank teaches, those of the next step.
  ClassThresholds& thresholds() { return thresholds_; }

 private:
  /// The teacher's forward pass, and its labels on the ranks that learn.
  Status Label(const CotrainBatch& batch, CotrainOutcome& outcome);
  Status Learn(const CotrainBatch& batch, const CotrainRates& rates, CotrainOutcome& outcome);
  Status Teach(const CotrainBatch& batch, const CotrainRates& rates, CotrainOutcome& outcome);
  /// Gives the figures of one network's ranks to all.
  Status ShareTeacher(CotrainOutcome& outcome) const;
  Status ShareStudent(const CotrainRates& rates, CotrainOutcome& outcome);
  Status Share(bool& finite, std::span<double* const> figures, CotrainOutcome& outcome,
               Status (CotrainPlacement::*from)(std::span<double>) const) const;

  const char* WhyFeedbackDropped(const CotrainRates& rates, const CotrainOutcome& outcome) const;

  /// Around a step that may turn out not to be finite.
  void Remember();
  void GoBack(CotrainOutcome& outcome);

  std::optional<CotrainTeacher> teacher_;
  std::optional<CotrainStudent> student_;
  std::optional<TeacherForward> forward_;
  std::optional<PendingCredit> pending_;
  FeedbackBaseline& baseline_;
  const CotrainRules rules_;
  ClassThresholds thresholds_;
  const CotrainPlacement& placement_;
  Trace* const trace_;
};

}  // namespace ferment::worker
