// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_student.h"

#include <array>
#include <cmath>
#include <optional>

#include "worker/train/exchange/flat_reductions.h"
#include "worker/train/feedback.h"
#include "worker/train/losses.h"

namespace ferment::worker {

CotrainStudent::CotrainStudent(TrainedNetwork& network, AveragedNetwork& average, const CotrainRules& rules,
                               Collective& ranks, Trace* trace)
    : network_(network),
      average_(average),
      rules_(rules),
      ranks_(ranks),
      exchange_(network.bucket, ranks),
      trace_(trace) {
  network_.net->train();
  average_.net->eval();
}

Result<StudentFigures> CotrainStudent::Learn(const CotrainBatch& batch, const RowLabels& labels,
                                             const CotrainRates& rates) {
  const TraceScope scope(trace_, "student update");
  StudentFigures figures;
  FERMENT_RETURN_IF_ERROR(Backward(batch, labels, figures));
  if (!figures.finite) return figures;
  const bool counts = FeedbackCounts(rules_, rates);
  const bool scored = rates.record || counts;
  const bool by_gradient = rules_.form == FeedbackForm::kExact || rules_.form == FeedbackForm::kCosine;
  if (rates.record || (scored && by_gradient)) figures.gradient = network_.bucket.gradients().clone();

  std::array sums = {scored ? LabelledLossSum(batch, "feedback: L_old") : 0.0, 0.0};
  figures.finite = network_.sgd.StaysFinite(rates.lr_student, figures.grad_norm);
  if (!figures.finite) return figures;
  network_.sgd.Step(rates.lr_student, figures.grad_norm);
  if (!scored) return figures;
  sums[1] = LabelledLossSum(batch, "feedback: L_new");
  FERMENT_RETURN_IF_ERROR(SumOverRanks(sums, ranks_));
  figures.old_loss = sums[0] / static_cast<double>(batch.global_labelled);
  figures.new_loss = sums[1] / static_cast<double>(batch.global_labelled);
  if (rates.lr_student != 0 && by_gradient) {
    FERMENT_ASSIGN_OR_RETURN(figures.h_raw, GradientFeedback(batch, figures.gradient, rates.lr_student));
  } else if (rates.lr_student != 0 && rules_.form == FeedbackForm::kFirstOrder) {
    figures.h_raw = figures.old_loss - figures.new_loss;
  }
  figures.finite = !counts || IsUsableFeedback(figures.old_loss, figures.new_loss, figures.h_raw);
  return figures;
}

Status CotrainStudent::Backward(const CotrainBatch& batch, const RowLabels& labels, StudentFigures& figures) {
  network_.bucket.ZeroGradients();
  torch::Tensor sum;
  {
    const TraceScope scope(trace_, "student forward");
    sum = CrossEntropySum(network_.net->forward(rules_.ForTraining(batch.strong)), labels.label, rules_.label_smoothing,
                          labels.trained);
  }
  const TraceScope scope(trace_, "student backward");
  FERMENT_RETURN_IF_ERROR(exchange_.Backward(sum / batch.global_unlabelled, trace_));
  if (rules_.average_statistics) FERMENT_RETURN_IF_ERROR(network_.statistics.AverageOverRanks(ranks_));
  std::array sums = {sum.item<double>()};
  FERMENT_RETURN_IF_ERROR(SumOverRanks(sums, ranks_));
  figures.loss = sums[0] / static_cast<double>(batch.global_unlabelled);
  figures.grad_norm = network_.sgd.GradientNorm();
  figures.finite =
      std::isfinite(figures.loss) && std::isfinite(figures.grad_norm) && AllFinite(network_.statistics.statistics());
  return Status();
}

torch::Tensor CotrainStudent::Scoring(const std::function<torch::Tensor()>& body) {
  std::optional<StatisticsBucket::Snapshot> kept;
  if (rules_.batch_statistics) kept = network_.statistics.Take();
  network_.net->train(rules_.batch_statistics);
  torch::Tensor scored = body();
  network_.net->train();
  if (kept) network_.statistics.PutBack(*kept);
  return scored;
}

double CotrainStudent::LabelledLossSum(const CotrainBatch& batch, const char* name) {
  const TraceScope scope(trace_, name);
  torch::NoGradGuard no_grad;
  torch::Tensor logits = Scoring([&] { return network_.net->forward(batch.labelled); });
  if (logits.scalar_type() != torch::kFloat64) logits = logits.to(torch::kFloat32);
  return CrossEntropyPerSample(logits, batch.labels, 0).to(torch::kFloat64).sum().item<double>();
}

Result<double> CotrainStudent::GradientFeedback(const CotrainBatch& batch, const torch::Tensor& gradient, double lr) {
  const TraceScope scope(trace_, "feedback: gradient");
  network_.bucket.ZeroGradients();
  Scoring([&] {
    torch::Tensor loss =
        CrossEntropySum(network_.net->forward(batch.labelled), batch.labels, 0) / batch.global_labelled;
    loss.backward();
    return loss;
  });
  torch::Tensor& own_share = network_.bucket.gradients();
  return rules_.form == FeedbackForm::kExact ? ExactFeedback(lr, own_share, gradient, ranks_)
                                             : CosineFeedback(own_share, gradient, ranks_);
}

}  // namespace ferment::worker
