// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_plan.h"

#include <algorithm>

namespace ferment::worker {

Result<CotrainRules> RulesOf(const v1::CotrainSpec& cotrain) {
  CotrainRules rules;
  rules.tau = cotrain.tau();
  rules.threshold = cotrain.threshold();
  rules.dynamic_threshold = cotrain.pseudo_label().threshold_rule() == "dynamic";
  rules.label_smoothing = cotrain.label_smoothing();
  rules.student_mask = cotrain.student_mask();
  FERMENT_ASSIGN_OR_RETURN(rules.form, ParseFeedbackForm(cotrain.feedback().form()));
  rules.credit_strong_view = cotrain.feedback().view() == "strong";
  rules.batch_statistics = cotrain.feedback().statistics() == "batch";
  rules.average_statistics = cotrain.batch_norm() == "local";
  rules.late_feedback = cotrain.feedback().max_lag() > 0;
  rules.in_bfloat16 = cotrain.dtype() == "bfloat16";
  return rules;
}

CotrainSchedule::CotrainSchedule(const v1::CotrainSpec& cotrain, std::uint32_t round)
    : teacher_{.base = cotrain.lr_teacher(), .total_steps = cotrain.steps(), .warmup_steps = cotrain.warmup_steps()},
      student_{.base = cotrain.lr_student(),
               .total_steps = cotrain.steps(),
               .warmup_steps = cotrain.warmup_steps(),
               .wait_steps = cotrain.student_wait_steps()},
      lambda_u_(cotrain.lambda_u()),
      lambda_ramp_steps_(cotrain.lambda_ramp_steps()),
      ema_decay_(cotrain.ema_decay()),
      feedback_start_(cotrain.feedback().start_step()),
      warms_average_up_(round == 0) {}

CotrainRates CotrainSchedule::At(std::uint64_t step) const {
  const double s = static_cast<double>(step);
  CotrainRates rates;
  rates.lr_teacher = teacher_.At(step);
  rates.lr_student = student_.At(step);
  rates.lambda = lambda_u_ * std::min(1.0, (s + 1) / lambda_ramp_steps_);
  rates.feedback_on = step >= feedback_start_;
  rates.ema_decay = warms_average_up_ ? std::min(ema_decay_, (1 + s) / (10 + s)) : ema_decay_;
  return rates;
}

}  // namespace ferment::worker
