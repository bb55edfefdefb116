// SPDX-License-Identifier: Apache-2.0
//
// The student's half of a step of co-training: it learns from labels, and finds out what they were worth.
#pragma once

#include <functional>

#include "worker/recipes/cotrain/cotrain_batch.h"
#include "worker/trace/trace.h"
#include "worker/train/ema.h"
#include "worker/train/exchange/gradient_exchange.h"

namespace ferment::worker {

/// Equal on all of the student's ranks.
struct StudentFigures {
  /// Whether every number, gradient, statistic and new weight so far is finite.
  bool finite = true;
  double loss = 0;      // L_S_u
  double old_loss = 0;  // L_old
  double new_loss = 0;  // L_new
  double h_raw = 0;
  double grad_norm = 0;
  /// Raw gradient after the sum over ranks, where recording was asked for, and where the form of h needs it.
  torch::Tensor gradient;
};

/// Thread: the collective's. The references outlive it.
class CotrainStudent {
 public:
  /// `ranks` are the student's; `trace` may be null.
  CotrainStudent(TrainedNetwork& network, AveragedNetwork& average, const CotrainRules& rules, Collective& ranks,
                 Trace* trace);

  /// (4) to (7) of the method: the student's step on strong views, with L_old before and L_new after it.
  Result<StudentFigures> Learn(const CotrainBatch& batch, const RowLabels& labels, const CotrainRates& rates);
  /// (10), after a step that counts.
  void Average(double decay) { average_.MoveTowards(network_, decay); }

  TrainedNetwork& network() { return network_; }

 private:
  /// Leaves gradient and statistics of all ranks in the network. Fills loss, norm and `finite`.
  Status Backward(const CotrainBatch& batch, const RowLabels& labels, StudentFigures& figures);
  /// L over this rank's labelled rows with the student as it is; `name` in the trace.
  double LabelledLossSum(const CotrainBatch& batch, const char* name);
  Result<double> GradientFeedback(const CotrainBatch& batch, const torch::Tensor& gradient, double lr);
  /// Returns: what `body` does, seeing the student as L_old and L_new do: in evaluation mode, or under x_l's own
  /// statistics.
  torch::Tensor Scoring(const std::function<torch::Tensor()>& body);

  TrainedNetwork& network_;
  AveragedNetwork& average_;
  const CotrainRules& rules_;
  Collective& ranks_;
  GradientExchange exchange_;
  Trace* const trace_;
};

}  // namespace ferment::worker
