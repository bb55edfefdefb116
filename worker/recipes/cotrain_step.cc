// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain_step.h"

#include <array>
#include <cmath>
#include <optional>
#include <utility>

namespace ferment::worker {
namespace {

template <std::size_t N>
Status SumOverRanks(std::array<double, N>& values, Collective& ranks) {
  return ranks.size() == 1 ? Status() : ranks.AllReduceSum(std::span<double>(values));
}

/// Evaluation or training mode of a network, and back to training.
class ModeGuard {
 public:
  ModeGuard(nn::Backbone& net, bool training) : net_(net) { net_.train(training); }
  ~ModeGuard() { net_.train(); }
  ModeGuard(const ModeGuard&) = delete;
  ModeGuard& operator=(const ModeGuard&) = delete;

 private:
  nn::Backbone& net_;
};

}  // namespace

CotrainStep::CotrainStep(TrainedNetwork& teacher, TrainedNetwork& student, AveragedNetwork& average,
                         FeedbackBaseline& baseline, const CotrainRules& rules, Collective& ranks)
    : teacher_(teacher), student_(student), average_(average), baseline_(baseline), rules_(rules), ranks_(ranks) {
  teacher_.net->train();
  student_.net->train();
  average_.net->eval();
}

// The numbers are those of the method's equations, docs/method.md section 1.
Result<CotrainOutcome> CotrainStep::Run(const CotrainBatch& batch, const CotrainRates& rates) {
  CotrainOutcome outcome;
  const Before before = Remember();
  outcome.baseline_before = baseline_.value();
  outcome.baseline_after = baseline_.value();

  const TeacherForward forward = ForwardTeacher(batch, outcome);  // (1) (2) (3)
  const double student_sum = BackwardStudent(batch, outcome);     // (4)
  FERMENT_ASSIGN_OR_RETURN(outcome.finite, ReduceStudent(batch, forward, student_sum, outcome));
  if (outcome.finite) {
    FERMENT_ASSIGN_OR_RETURN(outcome.finite, UpdateStudent(batch, rates, outcome));  // L_old, (5), (6), (7)
  }
  if (outcome.finite) {
    ApplyBaseline(rates, outcome);                                                            // (7)
    FERMENT_ASSIGN_OR_RETURN(outcome.finite, UpdateTeacher(batch, rates, forward, outcome));  // (8) (9)
  }
  if (!outcome.finite) {
    GoBackTo(before);
    outcome.baseline_after = baseline_.value();
    return outcome;
  }
  average_.MoveTowards(student_, rates.ema_decay);  // (10)
  return outcome;
}

CotrainStep::TeacherForward CotrainStep::ForwardTeacher(const CotrainBatch& batch, CotrainOutcome& outcome) {
  const std::int64_t labelled = batch.labelled.size(0);
  const std::int64_t unlabelled = batch.weak.size(0);
  const torch::Tensor logits = teacher_.net->forward(torch::cat({batch.labelled, batch.weak, batch.strong}));
  const torch::Tensor weak = logits.narrow(0, labelled, unlabelled);
  const torch::Tensor strong = logits.narrow(0, labelled + unlabelled, unlabelled);

  outcome.pseudo = LabelWeakViews(weak, rules_.tau, rules_.threshold);
  const bool offline = batch.offline_labels.defined();
  outcome.pseudo_label = offline ? batch.offline_labels : outcome.pseudo.label;
  outcome.trained = torch::ones_like(outcome.pseudo.mask);
  if (rules_.student_mask)
    outcome.trained = offline ? batch.offline_trained.to(outcome.pseudo.mask.scalar_type()) : outcome.pseudo.mask;

  return {CrossEntropySum(logits.narrow(0, 0, labelled), batch.labels, rules_.label_smoothing),
          ConsistencySum(outcome.pseudo.probabilities, outcome.pseudo.mask, strong),
          rules_.credit_strong_view ? strong : weak};
}

double CotrainStep::BackwardStudent(const CotrainBatch& batch, const CotrainOutcome& outcome) {
  student_.bucket.ZeroGradients();
  const torch::Tensor sum = CrossEntropySum(student_.net->forward(batch.strong), outcome.pseudo_label,
                                            rules_.label_smoothing, outcome.trained);
  (sum / batch.global_unlabelled).backward();
  return sum.item<double>();
}

Result<bool> CotrainStep::ReduceStudent(const CotrainBatch& batch, const TeacherForward& forward, double student_sum,
                                        CotrainOutcome& outcome) {
  FERMENT_RETURN_IF_ERROR(worker::SumOverRanks(student_.bucket.gradients(), ranks_));
  if (rules_.average_statistics) FERMENT_RETURN_IF_ERROR(student_.statistics.AverageOverRanks(ranks_));
  std::array sums = {forward.labelled_sum.item<double>(), forward.unlabelled_sum.item<double>(), student_sum,
                     outcome.pseudo.mask.sum().item<double>()};
  FERMENT_RETURN_IF_ERROR(SumOverRanks(sums, ranks_));
  const double unlabelled = static_cast<double>(batch.global_unlabelled);
  outcome.loss_labelled = sums[0] / static_cast<double>(batch.global_labelled);
  outcome.loss_unlabelled = sums[1] / unlabelled;
  outcome.student_loss = sums[2] / unlabelled;
  outcome.accepted = sums[3];
  outcome.grad_norm_student = student_.sgd.GradientNorm();
  return std::isfinite(sums[0]) && std::isfinite(sums[1]) && std::isfinite(sums[2]) &&
         std::isfinite(outcome.grad_norm_student) && AllFinite(student_.statistics.statistics());
}

Result<bool> CotrainStep::UpdateStudent(const CotrainBatch& batch, const CotrainRates& rates, CotrainOutcome& outcome) {
  const bool wanted = rates.record || (rules_.form != FeedbackForm::kOff && rates.feedback_on && rates.lr_student != 0);
  const bool by_gradient = rules_.form == FeedbackForm::kExact || rules_.form == FeedbackForm::kCosine;
  if (rates.record || (wanted && by_gradient)) outcome.student_gradient = student_.bucket.gradients().clone();

  std::array sums = {wanted ? LabelledLossSum(batch) : 0.0, 0.0};
  student_.sgd.Step(rates.lr_student, outcome.grad_norm_student);
  const bool applied = AllFinite(student_.bucket.weights()) && AllFinite(student_.sgd.momentum());
  if (!wanted || !applied) return applied;
  sums[1] = LabelledLossSum(batch);
  FERMENT_RETURN_IF_ERROR(SumOverRanks(sums, ranks_));
  outcome.old_loss = sums[0] / static_cast<double>(batch.global_labelled);
  outcome.new_loss = sums[1] / static_cast<double>(batch.global_labelled);
  if (rates.lr_student == 0) return std::isfinite(outcome.new_loss);
  if (by_gradient) {
    FERMENT_ASSIGN_OR_RETURN(outcome.h_raw, GradientFeedback(batch, outcome.student_gradient, rates.lr_student));
  } else if (rules_.form == FeedbackForm::kFirstOrder) {
    outcome.h_raw = outcome.old_loss - outcome.new_loss;
  }
  return std::isfinite(outcome.old_loss) && std::isfinite(outcome.new_loss) && std::isfinite(outcome.h_raw);
}

double CotrainStep::LabelledLossSum(const CotrainBatch& batch) {
  torch::NoGradGuard no_grad;
  const ModeGuard mode(*student_.net, rules_.batch_statistics);
  std::optional<StatisticsBucket::Snapshot> kept;
  if (rules_.batch_statistics) kept = student_.statistics.Take();
  torch::Tensor logits = student_.net->forward(batch.labelled);
  if (kept) student_.statistics.PutBack(*kept);
  if (logits.scalar_type() != torch::kFloat64) logits = logits.to(torch::kFloat32);
  return CrossEntropyPerSample(logits, batch.labels, 0).to(torch::kFloat64).sum().item<double>();
}

Result<double> CotrainStep::GradientFeedback(const CotrainBatch& batch, const torch::Tensor& student_gradient,
                                             double lr) {
  student_.bucket.ZeroGradients();
  {
    const ModeGuard mode(*student_.net, rules_.batch_statistics);
    std::optional<StatisticsBucket::Snapshot> kept;
    if (rules_.batch_statistics) kept = student_.statistics.Take();
    (CrossEntropySum(student_.net->forward(batch.labelled), batch.labels, 0) / batch.global_labelled).backward();
    if (kept) student_.statistics.PutBack(*kept);
  }
  torch::Tensor& own_share = student_.bucket.gradients();
  return rules_.form == FeedbackForm::kExact ? ExactFeedback(lr, own_share, student_gradient, ranks_)
                                             : CosineFeedback(own_share, student_gradient, ranks_);
}

void CotrainStep::ApplyBaseline(const CotrainRates& rates, CotrainOutcome& outcome) {
  if (rules_.form == FeedbackForm::kOff || !rates.feedback_on || rates.lr_student == 0) return;
  outcome.h = baseline_.Apply(outcome.h_raw);
  outcome.baseline_after = baseline_.value();
}

Result<bool> CotrainStep::UpdateTeacher(const CotrainBatch& batch, const CotrainRates& rates,
                                        const TeacherForward& forward, CotrainOutcome& outcome) {
  const torch::Tensor feedback_sum = CrossEntropySum(forward.credited_logits, outcome.pseudo_label, 0, outcome.trained);
  const double unlabelled = static_cast<double>(batch.global_unlabelled);
  torch::Tensor loss =
      forward.labelled_sum / batch.global_labelled + forward.unlabelled_sum * (rates.lambda / unlabelled);
  if (outcome.h != 0) loss = loss + feedback_sum * (outcome.h / unlabelled);
  teacher_.bucket.ZeroGradients();
  loss.backward();

  FERMENT_RETURN_IF_ERROR(worker::SumOverRanks(teacher_.bucket.gradients(), ranks_));
  if (rules_.average_statistics) FERMENT_RETURN_IF_ERROR(teacher_.statistics.AverageOverRanks(ranks_));
  std::array sums = {feedback_sum.item<double>()};
  FERMENT_RETURN_IF_ERROR(SumOverRanks(sums, ranks_));
  outcome.feedback_loss = outcome.h * sums[0] / unlabelled;
  outcome.teacher_loss = outcome.loss_labelled + rates.lambda * outcome.loss_unlabelled + outcome.feedback_loss;
  outcome.grad_norm_teacher = teacher_.sgd.GradientNorm();
  if (!std::isfinite(outcome.teacher_loss) || !std::isfinite(outcome.grad_norm_teacher) ||
      !AllFinite(teacher_.statistics.statistics())) {
    return false;
  }
  if (rates.record) outcome.teacher_gradient = teacher_.bucket.gradients().clone();
  teacher_.sgd.Step(rates.lr_teacher, outcome.grad_norm_teacher);
  return AllFinite(teacher_.bucket.weights()) && AllFinite(teacher_.sgd.momentum());
}

CotrainStep::Before CotrainStep::Remember() { return {teacher_.Take(), student_.Take(), baseline_.value()}; }

void CotrainStep::GoBackTo(const Before& before) {
  torch::NoGradGuard no_grad;
  teacher_.PutBack(before.teacher);
  student_.PutBack(before.student);
  baseline_.set_value(before.baseline);
}

}  // namespace ferment::worker
