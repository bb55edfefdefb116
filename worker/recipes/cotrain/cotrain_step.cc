// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_step.h"

#include <array>
#include <vector>

namespace ferment::worker {

CotrainStep::CotrainStep(TrainedNetwork* teacher, TrainedNetwork* student, AveragedNetwork* average,
                         FeedbackBaseline& baseline, const CotrainRules& rules, const CotrainPlacement& placement,
                         Trace* trace)
    : baseline_(baseline),
      rules_(rules),
      thresholds_(rules.threshold, rules.dynamic_threshold),
      placement_(placement),
      trace_(trace) {
  if (teacher != nullptr) teacher_.emplace(*teacher, rules_, placement.group(), trace_);
  if (student != nullptr) student_.emplace(*student, *average, rules_, placement.group(), trace_);
}

// The numbers are those of the method's equations, docs/method.md.
Result<CotrainOutcome> CotrainStep::Run(std::uint64_t step, const CotrainBatch& batch, const CotrainRates& rates) {
  CotrainOutcome outcome;
  Remember();
  outcome.baseline_before = outcome.baseline_after = baseline_.value();

  const auto mark = [&outcome](StepPart part) {
    if (!outcome.finite && !outcome.undone_in) outcome.undone_in = part;
  };
  FERMENT_RETURN_IF_ERROR(Label(batch, outcome));  // (1) (2) (3)
  mark(StepPart::kLabels);
  if (rules_.late_feedback) {
    // Two groups of ranks, each at its own part.
    FERMENT_RETURN_IF_ERROR(Teach(batch, rates, outcome));
    FERMENT_RETURN_IF_ERROR(Learn(batch, rates, outcome));
    FERMENT_RETURN_IF_ERROR(ShareStudent(rates, outcome));
    mark(StepPart::kStudent);
    FERMENT_RETURN_IF_ERROR(ShareTeacher(outcome));
  } else {
    FERMENT_RETURN_IF_ERROR(Learn(batch, rates, outcome));  // (4) L_old, (5), (6)
    FERMENT_RETURN_IF_ERROR(ShareStudent(rates, outcome));  // (7)
    mark(StepPart::kStudent);
    FERMENT_RETURN_IF_ERROR(Teach(batch, rates, outcome));  // (8) (9)
    FERMENT_RETURN_IF_ERROR(ShareTeacher(outcome));
  }
  mark(StepPart::kTeacher);
  forward_.reset();
  outcome.feedback_dropped = WhyFeedbackDropped(rates, outcome);
  if (!outcome.finite) {
    GoBack(outcome);
    return outcome;
  }
  if (student_) {
    const TraceScope scope(trace_, "average");
    student_->Average(rates.ema_decay);  // (10)
  }
  if (teacher_ && thresholds_.dynamic()) {
    thresholds_.Observe(outcome.teacher.labelled, outcome.teacher.confident,
                        static_cast<double>(batch.global_unlabelled));
    outcome.status_after = thresholds_.status();
  }
  if (rules_.late_feedback) {
    pending_ = {step, {rules_.credit_strong_view ? batch.strong : batch.weak, outcome.labels, outcome.h}};
  }
  return outcome;
}

Status CotrainStep::Label(const CotrainBatch& batch, CotrainOutcome& outcome) {
  if (teacher_) {
    FERMENT_ASSIGN_OR_RETURN(forward_, teacher_->Forward(batch, thresholds_, outcome.teacher));
    outcome.pseudo = forward_->pseudo;
    outcome.labels = forward_->labels;
    if (thresholds_.dynamic()) {
      outcome.thresholds = thresholds_.Of(outcome.teacher.labelled.size());
      outcome.status_before = outcome.status_after = thresholds_.status();
    }
  }
  FERMENT_ASSIGN_OR_RETURN(outcome.labels,
                           placement_.CarryLabels(outcome.labels, batch.global_unlabelled, batch.strong.options()));
  return ShareTeacher(outcome);
}

Status CotrainStep::Learn(const CotrainBatch& batch, const CotrainRates& rates, CotrainOutcome& outcome) {
  if (!student_ || !outcome.finite) return Status();
  FERMENT_ASSIGN_OR_RETURN(outcome.student, student_->Learn(batch, outcome.labels, rates));
  return Status();
}

Status CotrainStep::Teach(const CotrainBatch& batch, const CotrainRates& rates, CotrainOutcome& outcome) {
  if (!teacher_ || !outcome.finite) return Status();
  if (!rules_.late_feedback) return teacher_->Update(batch, rates, *forward_, outcome.h, outcome.teacher);
  return teacher_->UpdateLate(batch, rates, *forward_, pending_ ? &pending_->credit : nullptr, outcome.teacher);
}

Status CotrainStep::ShareTeacher(CotrainOutcome& outcome) const {
  TeacherFigures& own = outcome.teacher;
  const std::array figures = {&own.loss_labelled, &own.loss_unlabelled, &own.feedback_loss,
                              &own.loss,          &own.grad_norm,       &own.accepted};
  return Share(own.finite, figures, outcome, &CotrainPlacement::FromTeacher);
}

Status CotrainStep::ShareStudent(const CotrainRates& rates, CotrainOutcome& outcome) {
  StudentFigures& own = outcome.student;
  const std::array figures = {&own.loss, &own.old_loss, &own.new_loss, &own.h_raw, &own.grad_norm};
  FERMENT_RETURN_IF_ERROR(Share(own.finite, figures, outcome, &CotrainPlacement::FromStudent));
  if (!outcome.finite || !FeedbackCounts(rules_, rates)) return Status();
  outcome.h = baseline_.Apply(own.h_raw);
  outcome.baseline_after = baseline_.value();
  return Status();
}

Status CotrainStep::Share(bool& finite, std::span<double* const> figures, CotrainOutcome& outcome,
                          Status (CotrainPlacement::*from)(std::span<double>) const) const {
  std::vector<double> values = {finite ? 1.0 : 0.0};
  for (const double* figure : figures) values.push_back(*figure);
  FERMENT_RETURN_IF_ERROR((placement_.*from)(values));
  finite = values[0] != 0;
  for (std::size_t i = 0; i < figures.size(); ++i) *figures[i] = values[i + 1];
  outcome.finite = outcome.finite && finite;
  return Status();
}

const char* CotrainStep::WhyFeedbackDropped(const CotrainRates& rates, const CotrainOutcome& outcome) const {
  if (rules_.form == FeedbackForm::kOff) return nullptr;
  if (!outcome.finite) return "undone";
  if (!rates.feedback_on) return "before_start";
  return rates.lr_student == 0 ? "no_student_step" : nullptr;
}

void CotrainStep::Remember() {
  if (teacher_) teacher_->Remember();
  if (student_) student_->network().Remember(TrainedNetwork::Keep::kAll);
}

void CotrainStep::GoBack(CotrainOutcome& outcome) {
  if (teacher_) teacher_->network().GoBack();
  if (student_) student_->network().GoBack();
  baseline_.set_value(outcome.baseline_before);
  outcome.baseline_after = outcome.baseline_before;
}

}  // namespace ferment::worker
