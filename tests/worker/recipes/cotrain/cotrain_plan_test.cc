// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_plan.h"

#include <gtest/gtest.h>

namespace ferment::worker {
namespace {

v1::CotrainSpec Spec() {
  v1::CotrainSpec cotrain;
  cotrain.set_steps(40);
  cotrain.set_lr_teacher(0.2);
  cotrain.set_lr_student(0.1);
  cotrain.set_warmup_steps(8);
  cotrain.set_student_wait_steps(12);
  cotrain.set_lambda_u(2);
  cotrain.set_lambda_ramp_steps(10);
  cotrain.set_ema_decay(0.7);
  cotrain.mutable_feedback()->set_start_step(19);
  return cotrain;
}

// By hand from docs/method.md: the teacher's cosine is 32 steps long, the student's, after wait and warm-up, 20.
TEST(CotrainSchedule, GivesTheRatesOfTheMethod) {
  struct Row {
    std::uint64_t step;
    double lr_teacher, lr_student, lambda, ema_decay;
    bool feedback_on;
  };
  const Row rows[] = {
      {0, 0.025, 0, 0.2, 0.1, false},
      {4, 0.125, 0, 1, 5.0 / 14, false},
      {8, 0.2, 0, 1.8, 0.5, false},
      {11, 0.195694033573221, 0, 2, 4.0 / 7, false},
      {12, 0.192387953251129, 0.0125, 2, 13.0 / 22, false},
      {18, 0.15555702330196, 0.0875, 2, 19.0 / 28, false},
      {19, 0.1471396736826, 0.1, 2, 20.0 / 29, true},
      {20, 0.138268343236509, 0.1, 2, 0.7, true},
      {25, 0.090198285967044, 0.085355339059327, 2, 0.7, true},
      {30, 0.04444297669804, 0.05, 2, 0.7, true},
      {39, 0.00048152733278, 0.000615582970243, 2, 0.7, true},
      {40, 0, 0, 2, 0.7, true},
  };
  const CotrainSchedule schedule(Spec(), 0);
  for (const Row& expected : rows) {
    SCOPED_TRACE(::testing::Message() << "step " << expected.step);
    const CotrainRates rates = schedule.At(expected.step);
    EXPECT_NEAR(rates.lr_teacher, expected.lr_teacher, 1e-12);
    EXPECT_NEAR(rates.lr_student, expected.lr_student, 1e-12);
    EXPECT_NEAR(rates.lambda, expected.lambda, 1e-12);
    EXPECT_EQ(rates.feedback_on, expected.feedback_on);
    EXPECT_NEAR(rates.ema_decay, expected.ema_decay, 1e-12);
  }
}

TEST(CotrainSchedule, WarmsTheAverageUpInTheFirstRoundAlone) {
  for (const std::uint64_t step : {0, 1, 39}) EXPECT_EQ(CotrainSchedule(Spec(), 1).At(step).ema_decay, 0.7);
  EXPECT_EQ(CotrainSchedule(Spec(), 1).At(0).lr_student, 0) << "a later round's schedules start anew";
  EXPECT_DOUBLE_EQ(CotrainSchedule(Spec(), 1).At(0).lr_teacher, 0.025);
}

}  // namespace
}  // namespace ferment::worker
