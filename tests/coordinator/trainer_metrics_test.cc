// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trainer_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/metrics/prometheus_registry.h"

namespace ferment::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TrainerMetricsTest : public ::testing::Test {
 protected:
  std::string Text() const { return registry_->Exposition(); }

  std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  TrainerMetrics metrics_{*registry_};
};

TEST_F(TrainerMetricsTest, CountsWhatIsNewInEachReport) {
  metrics_.Begin("run/cotrain");
  metrics_.Report("run/cotrain", Phase::kCotrain, 100, {{"nonfinite", 1}}, 1);
  metrics_.Report("run/cotrain", Phase::kCotrain, 250, {{"nonfinite", 1}}, 2);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_samples_total{phase=\"cotrain\"} 250"));
  EXPECT_THAT(Text(), HasSubstr("ferment_train_nonfinite_total 1"));
  // Back to a checkpoint: what is trained again is trained.
  metrics_.Report("run/cotrain", Phase::kCotrain, 200, {}, 3);
  metrics_.Complete("run/cotrain", Phase::kCotrain, 260, {{"nonfinite", 3}}, 4);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_samples_total{phase=\"cotrain\"} 310"));
  EXPECT_THAT(Text(), HasSubstr("ferment_train_nonfinite_total 3"));
}

TEST_F(TrainerMetricsTest, OfATrainerThatRanBeforeThisProcessOnlyTheRestCounts) {
  metrics_.Report("run/teacher", Phase::kTeacher, 1000, {{"checkpoint_write_seconds", 2}, {"checkpoint_bytes", 5}}, 1);
  metrics_.Report("run/teacher", Phase::kTeacher, 1064, {{"checkpoint_write_seconds", 2}, {"checkpoint_bytes", 5}}, 2);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_samples_total{phase=\"teacher\"} 64"));
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_duration_seconds_count 0"));
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_size_bytes 5"));
  EXPECT_THAT(Text(), Not(HasSubstr("ferment_checkpoint_last_success_timestamp_seconds")));
}

TEST_F(TrainerMetricsTest, ACheckpointIsNotedOnceWhenItIsFirstReported) {
  metrics_.Begin("run/teacher");
  metrics_.Report("run/teacher", Phase::kTeacher, 1, {}, 10);
  metrics_.Report("run/teacher", Phase::kTeacher, 2, {{"checkpoint_write_seconds", 2}, {"checkpoint_bytes", 5}}, 20);
  metrics_.Report("run/teacher", Phase::kTeacher, 3, {{"checkpoint_write_seconds", 2}, {"checkpoint_bytes", 5}}, 30);
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_duration_seconds_count 1"));
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_duration_seconds_sum 2"));
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_last_success_timestamp_seconds 20"));
}

TEST_F(TrainerMetricsTest, FiguresAreOfWhoeverReportedLastAndFinite) {
  metrics_.Report("run/cotrain", Phase::kCotrain, 1, {{"loss", 2}, {"h", -0.5}, {"macro_f1", 0.25}}, 1);
  metrics_.Report("run/cotrain", Phase::kCotrain, 2, {{"loss", std::numeric_limits<double>::infinity()}}, 2);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_loss{phase=\"cotrain\"} 2"));
  EXPECT_THAT(Text(), HasSubstr("ferment_feedback_coefficient -0.5"));
  EXPECT_THAT(Text(), HasSubstr("ferment_eval_macro_f1_ratio{phase=\"cotrain\"} 0.25"));
}

TEST_F(TrainerMetricsTest, TheEvaluationIsTheStudentsByClass) {
  metrics_.Complete("run/evaluate", Phase::kEvaluate, 9,
                    {{"macro_f1_student", 0.5}, {"macro_f1_teacher", 0.25}, {"student_f1_Fear", 0.125}}, 1);
  EXPECT_THAT(Text(), HasSubstr("ferment_eval_f1_ratio{class=\"Fear\"} 0.125"));
  EXPECT_THAT(Text(), HasSubstr("ferment_eval_macro_f1_ratio{phase=\"evaluate\"} 0.5"));
}

}  // namespace
}  // namespace ferment::coordinator
