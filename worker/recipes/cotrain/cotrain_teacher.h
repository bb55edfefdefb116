// SPDX-License-Identifier: Apache-2.0
//
// The teacher's half of a step of co-training: it labels, and learns from what its labels were worth.
#pragma once

#include "worker/recipes/cotrain/cotrain_batch.h"
#include "worker/trace/trace.h"
#include "worker/train/class_thresholds.h"
#include "worker/train/exchange/gradient_exchange.h"
#include "worker/train/losses.h"
#include "worker/train/trained_network.h"

namespace ferment::worker {

/// Equal on all of the teacher's ranks.
struct TeacherFigures {
  /// Whether every number, gradient, statistic and new weight so far is finite.
  bool finite = true;
  double loss_labelled = 0;    // L_T_l
  double loss_unlabelled = 0;  // L_T_u
  double feedback_loss = 0;    // L_T_mpl, h included
  double loss = 0;             // L_T
  double grad_norm = 0;
  /// Unlabelled rows that passed the threshold.
  double accepted = 0;
  /// Under class thresholds, on the teacher's ranks alone: rows of each label, and those that reach the fixed
  /// threshold.
  std::vector<double> labelled;
  std::vector<double> confident;
  /// Raw gradient after the sum over ranks, where recording was asked for.
  torch::Tensor gradient;
};

/// A forward pass on this rank's rows, its graph kept.
struct TeacherForward {
  torch::Tensor labelled_sum;     // of CE_e over the labelled rows
  torch::Tensor unlabelled_sum;   // of the masked consistency loss
  torch::Tensor credited_logits;  // [u, C] of the view that feedback credits
  PseudoLabels pseudo;
  RowLabels labels;
};

/// Labels of an earlier step, and what came of them.
struct LateCredit {
  torch::Tensor view;  // [u, 3, H, W] the view that feedback credits
  RowLabels labels;
  double h = 0;
};

/// Thread: the collective's. The references outlive it.
class CotrainTeacher {
 public:
  /// `ranks` are the teacher's; `trace` may be null.
  CotrainTeacher(TrainedNetwork& network, const CotrainRules& rules, Collective& ranks, Trace* trace);

  /// (1) (2) (3) of the method. Fills losses, `accepted` and the counts.
  Result<TeacherForward> Forward(const CotrainBatch& batch, const ClassThresholds& thresholds, TeacherFigures& figures);
  /// (8) (9): the teacher's step, crediting this step's labels with `h`. `figures` is what Forward filled, finite.
  Status Update(const CotrainBatch& batch, const CotrainRates& rates, const TeacherForward& forward, double h,
                TeacherFigures& figures);
  /// The same crediting an earlier step's labels: their views are looked at again, under running statistics as the
  /// ranks have averaged them after this step's forward pass. Null: nothing is credited.
  Status UpdateLate(const CotrainBatch& batch, const CotrainRates& rates, const TeacherForward& forward,
                    const LateCredit* credit, TeacherFigures& figures);

  /// Before a step that may have to be undone.
  void Remember();
  TrainedNetwork& network() { return network_; }

 private:
  Status CountOverRanks(const PseudoLabels& pseudo, double confident, TeacherFigures& figures);
  /// Adds to the gradient, and sums it over ranks.
  Status Backward(const torch::Tensor& loss);
  Status AverageStatistics();
  /// Makes the step. Requires: gradient and statistics of all ranks. `feedback_sum` is this rank's part of L_T_mpl
  /// without h.
  Status Step(const CotrainBatch& batch, const CotrainRates& rates, double h, double feedback_sum,
              TeacherFigures& figures);

  TrainedNetwork& network_;
  const CotrainRules& rules_;
  Collective& ranks_;
  GradientExchange exchange_;
  Trace* const trace_;
};

}  // namespace ferment::worker
