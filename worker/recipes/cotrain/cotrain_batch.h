// SPDX-License-Identifier: Apache-2.0
//
// What a step of co-training is given: rows, rules and rates.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "worker/train/feedback.h"

namespace ferment::worker {

/// This rank's rows of the global batch: those of its teacher, and of its student. Under split placement a rank has one
/// of the two networks, and only the views that this one looks at are defined.
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
  /// Each class has a threshold of its own, which follows the teacher.
  bool dynamic_threshold = false;
  double label_smoothing = 0;
  bool student_mask = false;
  FeedbackForm form = FeedbackForm::kFirstOrder;
  /// Credit the teacher's prediction on the strong view instead of the weak one.
  bool credit_strong_view = false;
  /// L_old and L_new under the statistics of x_l alone instead of the running ones.
  bool batch_statistics = false;
  /// BatchNorm is local to a rank: running statistics are averaged over ranks after each forward.
  bool average_statistics = true;
  /// The teacher's step takes the h of the step before, so that it need not wait for the student's (split placement).
  bool late_feedback = false;
  /// Training passes, forward and backward, are in bfloat16. Weights, losses and statistics stay as they are, and so do
  /// the passes that score the student: h is the small difference of two losses.
  bool in_bfloat16 = false;

  /// Returns: the faces in the type that a training pass takes.
  torch::Tensor ForTraining(const torch::Tensor& faces) const {
    return in_bfloat16 ? faces.to(torch::kBFloat16) : faces;
  }
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

/// Returns: whether this step's h reaches the teacher. Where it does not, L_old and L_new are told and decide nothing.
inline bool FeedbackCounts(const CotrainRules& rules, const CotrainRates& rates) {
  return rules.form != FeedbackForm::kOff && rates.feedback_on && rates.lr_student != 0;
}

/// What a student is to learn from strong views, by row.
struct RowLabels {
  torch::Tensor label;    // [u] int64, y_hat
  torch::Tensor trained;  // [u] 1 where the student learns from the row
};

}  // namespace ferment::worker
