// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_teacher.h"

#include <array>
#include <cmath>

#include "worker/train/exchange/flat_reductions.h"

namespace ferment::worker {

CotrainTeacher::CotrainTeacher(TrainedNetwork& network, const CotrainRules& rules, Collective& ranks, Trace* trace)
    : network_(network), rules_(rules), ranks_(ranks), exchange_(network.bucket, ranks), trace_(trace) {
  network_.net->train();
}

void CotrainTeacher::Remember() {
  // Late feedback may undo its step after it was made.
  network_.Remember(rules_.late_feedback ? TrainedNetwork::Keep::kAll : TrainedNetwork::Keep::kStatistics);
}

Result<TeacherForward> CotrainTeacher::Forward(const CotrainBatch& batch, const ClassThresholds& thresholds,
                                               TeacherFigures& figures) {
  const TraceScope scope(trace_, "teacher forward");
  const std::int64_t labelled = batch.labelled.size(0);
  const std::int64_t unlabelled = batch.weak.size(0);
  const torch::Tensor logits =
      network_.net->forward(rules_.ForTraining(torch::cat({batch.labelled, batch.weak, batch.strong})));
  const torch::Tensor weak = logits.narrow(0, labelled, unlabelled);
  const torch::Tensor strong = logits.narrow(0, labelled + unlabelled, unlabelled);

  TeacherForward forward;
  forward.pseudo = LabelWeakViews(weak, rules_.tau, thresholds.Of(static_cast<std::size_t>(weak.size(1))));
  const bool offline = batch.offline_labels.defined();
  forward.labels.label = offline ? batch.offline_labels : forward.pseudo.label;
  forward.labels.trained = torch::ones_like(forward.pseudo.mask);
  if (rules_.student_mask) {
    forward.labels.trained =
        offline ? batch.offline_trained.to(forward.pseudo.mask.scalar_type()) : forward.pseudo.mask;
  }
  forward.labelled_sum = CrossEntropySum(logits.narrow(0, 0, labelled), batch.labels, rules_.label_smoothing);
  forward.unlabelled_sum = ConsistencySum(forward.pseudo.probabilities, forward.pseudo.mask, strong);
  forward.credited_logits = rules_.credit_strong_view ? strong : weak;

  std::array sums = {forward.labelled_sum.item<double>(), forward.unlabelled_sum.item<double>(),
                     forward.pseudo.mask.sum().item<double>()};
  FERMENT_RETURN_IF_ERROR(SumOverRanks(sums, ranks_));
  figures.loss_labelled = sums[0] / static_cast<double>(batch.global_labelled);
  figures.loss_unlabelled = sums[1] / static_cast<double>(batch.global_unlabelled);
  figures.accepted = sums[2];
  figures.finite = std::isfinite(sums[0]) && std::isfinite(sums[1]);
  if (thresholds.dynamic()) FERMENT_RETURN_IF_ERROR(CountOverRanks(forward.pseudo, thresholds.fixed(), figures));
  return forward;
}

Status CotrainTeacher::CountOverRanks(const PseudoLabels& pseudo, double confident, TeacherFigures& figures) {
  const torch::Tensor counts = CountLabels(pseudo, confident).contiguous();
  std::vector<double> sums(counts.data_ptr<double>(), counts.data_ptr<double>() + counts.numel());
  FERMENT_RETURN_IF_ERROR(SumOverRanks(std::span<double>(sums), ranks_));
  const auto classes = static_cast<std::ptrdiff_t>(sums.size() / 2);
  figures.labelled.assign(sums.begin(), sums.begin() + classes);
  figures.confident.assign(sums.begin() + classes, sums.end());
  return Status();
}

Status CotrainTeacher::Update(const CotrainBatch& batch, const CotrainRates& rates, const TeacherForward& forward,
                              double h, TeacherFigures& figures) {
  const TraceScope scope(trace_, "teacher update");
  const torch::Tensor feedback_sum =
      CrossEntropySum(forward.credited_logits, forward.labels.label, 0, forward.labels.trained);
  const double unlabelled = static_cast<double>(batch.global_unlabelled);
  torch::Tensor loss =
      forward.labelled_sum / batch.global_labelled + forward.unlabelled_sum * (rates.lambda / unlabelled);
  if (h != 0) loss = loss + feedback_sum * (h / unlabelled);
  network_.bucket.ZeroGradients();
  FERMENT_RETURN_IF_ERROR(Backward(loss));
  FERMENT_RETURN_IF_ERROR(AverageStatistics());
  return Step(batch, rates, h, feedback_sum.item<double>(), figures);
}

Status CotrainTeacher::UpdateLate(const CotrainBatch& batch, const CotrainRates& rates, const TeacherForward& forward,
                                  const LateCredit* credit, TeacherFigures& figures) {
  const TraceScope scope(trace_, "teacher update");
  const double unlabelled = static_cast<double>(batch.global_unlabelled);
  network_.bucket.ZeroGradients();
  const torch::Tensor loss =
      forward.labelled_sum / batch.global_labelled + forward.unlabelled_sum * (rates.lambda / unlabelled);
  if (credit == nullptr || credit->h == 0) {
    FERMENT_RETURN_IF_ERROR(Backward(loss));
    FERMENT_RETURN_IF_ERROR(AverageStatistics());
    return Step(batch, rates, 0, 0, figures);
  }
  loss.backward();
  // Before the look: every rank's views are seen under the same statistics, as the student's are in L_old and L_new.
  FERMENT_RETURN_IF_ERROR(AverageStatistics());
  network_.net->eval();
  const torch::Tensor feedback_sum = CrossEntropySum(network_.net->forward(rules_.ForTraining(credit->view)),
                                                     credit->labels.label, 0, credit->labels.trained);
  network_.net->train();
  FERMENT_RETURN_IF_ERROR(Backward(feedback_sum * (credit->h / unlabelled)));
  return Step(batch, rates, credit->h, feedback_sum.item<double>(), figures);
}

Status CotrainTeacher::Backward(const torch::Tensor& loss) {
  const TraceScope scope(trace_, "teacher backward");
  return exchange_.Backward(loss, trace_);
}

Status CotrainTeacher::AverageStatistics() {
  return rules_.average_statistics ? network_.statistics.AverageOverRanks(ranks_) : Status();
}

Status CotrainTeacher::Step(const CotrainBatch& batch, const CotrainRates& rates, double h, double feedback_sum,
                            TeacherFigures& figures) {
  std::array sums = {feedback_sum};
  FERMENT_RETURN_IF_ERROR(SumOverRanks(sums, ranks_));
  figures.feedback_loss = h * sums[0] / static_cast<double>(batch.global_unlabelled);
  figures.loss = figures.loss_labelled + rates.lambda * figures.loss_unlabelled + figures.feedback_loss;
  figures.grad_norm = network_.sgd.GradientNorm();
  figures.finite =
      std::isfinite(figures.loss) && std::isfinite(figures.grad_norm) && AllFinite(network_.statistics.statistics());
  if (!figures.finite) return Status();
  if (rates.record) figures.gradient = network_.bucket.gradients().clone();
  figures.finite = network_.sgd.StaysFinite(rates.lr_teacher, figures.grad_norm);
  if (figures.finite) network_.sgd.Step(rates.lr_teacher, figures.grad_norm);
  return Status();
}

}  // namespace ferment::worker
