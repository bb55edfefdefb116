// SPDX-License-Identifier: Apache-2.0
//
// One step of co-training: the student learns from the teacher, and the teacher from how much that helped.
#pragma once

#include <map>
#include <string>

#include "worker/train/ema.h"
#include "worker/train/feedback.h"
#include "worker/train/losses.h"

namespace ferment::worker {

/// This rank's rows of the global batch.
struct CotrainBatch {
  torch::Tensor labelled;  // [b, 3, H, W] normalised
  torch::Tensor labels;    // [b] int64
  torch::Tensor weak;      // [u, 3, H, W]
  torch::Tensor strong;    // [u, 3, H, W]
  /// Offline source: labels of the label sets, and 1 where the label rule accepted them. Undefined: the teacher's own
  /// labels.
  torch::Tensor offline_labels;   // [u] int64
  torch::Tensor offline_trained;  // [u]
  std::int64_t global_labelled = 0;
  std::int64_t global_unlabelled = 0;
};

/// What stays the same over a run.
struct CotrainRules {
  double tau = 1;
  double threshold = 0;
  double label_smoothing = 0;
  bool student_mask = false;
  FeedbackForm form = FeedbackForm::kFirstOrder;
  /// Credit the teacher's prediction on the strong view instead of the weak one.
  bool credit_strong_view = false;
  /// L_old and L_new under the statistics of x_l alone instead of the running ones.
  bool batch_statistics = false;
  /// BatchNorm is local to a rank: running statistics are averaged over ranks after each forward.
  bool average_statistics = true;
};

/// What the schedules say for one step.
struct CotrainRates {
  double lr_teacher = 0;
  double lr_student = 0;
  double lambda = 0;
  double ema_decay = 0;
  /// False before feedback.start_step: h = 0 and b is left alone.
  bool feedback_on = true;
  /// Keep copies of both raw gradients, and compute L_old and L_new even where nothing uses them.
  bool record = false;
};

/// Equal on all ranks, but for the rows.
struct CotrainOutcome {
  /// False: a loss, gradient, statistic or weight was not finite; networks, statistics, optimisers and baseline are as
  /// before the step.
  bool finite = true;
  double loss_labelled = 0;    // L_T_l
  double loss_unlabelled = 0;  // L_T_u
  double student_loss = 0;     // L_S_u
  double old_loss = 0;         // L_old
  double new_loss = 0;         // L_new
  double h_raw = 0;
  double h = 0;
  double baseline_before = 0;
  double baseline_after = 0;
  double feedback_loss = 0;  // L_T_mpl, h included
  double teacher_loss = 0;   // L_T
  double grad_norm_teacher = 0;
  double grad_norm_student = 0;
  /// Unlabelled rows that passed the threshold.
  double accepted = 0;
  /// This rank's rows.
  PseudoLabels pseudo;
  torch::Tensor pseudo_label;  // [u] y_hat
  torch::Tensor trained;       // [u]
  /// Raw gradients after the sum over ranks, where recording was asked for.
  torch::Tensor teacher_gradient;
  torch::Tensor student_gradient;
};

/// Teacher and student on the same ranks. Whether a step is undone is decided by numbers that were summed over ranks,
/// so that a NaN in one rank's rows undoes the step on all.
///
/// Thread: the loop's. All references outlive it.
class CotrainStep {
 public:
  CotrainStep(TrainedNetwork& teacher, TrainedNetwork& student, AveragedNetwork& average, FeedbackBaseline& baseline,
              const CotrainRules& rules, Collective& ranks);

  Result<CotrainOutcome> Run(const CotrainBatch& batch, const CotrainRates& rates);

 private:
  struct TeacherForward {
    torch::Tensor labelled_sum;     // of CE_e over this rank's labelled rows
    torch::Tensor unlabelled_sum;   // of the masked consistency loss
    torch::Tensor credited_logits;  // [u, C] of the view that feedback credits
  };
  TeacherForward ForwardTeacher(const CotrainBatch& batch, CotrainOutcome& outcome);
  /// Returns: the sum of this rank's losses; leaves its part of the gradient in the student's bucket.
  double BackwardStudent(const CotrainBatch& batch, const CotrainOutcome& outcome);
  /// Sums gradient and statistics over ranks. Returns: whether every loss, the gradient and the statistics are finite.
  Result<bool> ReduceStudent(const CotrainBatch& batch, const TeacherForward& forward, double student_sum,
                             CotrainOutcome& outcome);
  /// L over this rank's labelled rows with the student as it is.
  double LabelledLossSum(const CotrainBatch& batch);
  /// L_old, the update, L_new, h_raw. Returns: whether all of them are finite.
  Result<bool> UpdateStudent(const CotrainBatch& batch, const CotrainRates& rates, CotrainOutcome& outcome);
  Result<double> GradientFeedback(const CotrainBatch& batch, const torch::Tensor& student_gradient, double lr);
  void ApplyBaseline(const CotrainRates& rates, CotrainOutcome& outcome);
  /// Returns: whether loss, gradient, statistics and new weights are finite.
  Result<bool> UpdateTeacher(const CotrainBatch& batch, const CotrainRates& rates, const TeacherForward& forward,
                             CotrainOutcome& outcome);

  /// What a step that turns out not to be finite is undone with.
  struct Before {
    TrainedNetwork::Snapshot teacher;
    TrainedNetwork::Snapshot student;
    double baseline;
  };
  Before Remember();
  void GoBackTo(const Before& before);

  TrainedNetwork& teacher_;
  TrainedNetwork& student_;
  AveragedNetwork& average_;
  FeedbackBaseline& baseline_;
  const CotrainRules rules_;
  Collective& ranks_;
};

}  // namespace ferment::worker
