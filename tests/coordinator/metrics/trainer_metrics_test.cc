// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics/trainer_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "common/metrics/prometheus_registry.h"

namespace ferment::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TrainerMetricsTest : public ::testing::Test {
 protected:
  std::string Text() const { return registry_->Exposition(); }
  double RankMoved(const std::string& rank) const {
    return registry_->MakeGauge("ferment_rank_last_progress_timestamp_seconds", "", {{"rank", rank}}).Value();
  }
  static TrainerDistributions Steps(const std::vector<double>& seconds) {
    metrics::Distribution steps;
    for (const double value : seconds) steps.Observe(value, metrics::kStepSecondsBounds);
    return {{"step_seconds", steps}};
  }

  std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  TrainerMetrics metrics_{*registry_};
};

TEST_F(TrainerMetricsTest, CountsWhatIsNewInEachReport) {
  metrics_.Begin("run/cotrain", 1);
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

TEST_F(TrainerMetricsTest, OfAJobThatWasForgottenNothingIsKept) {
  metrics_.Begin("run/cotrain", 1);
  metrics_.Report("run/cotrain", Phase::kCotrain, 100, {}, 1);
  metrics_.End("run/cotrain");
  metrics_.Forget("run/cotrain");
  // The run was opened again: where this job stands is not known any more, and what it did before has been counted.
  metrics_.Begin("run/cotrain", 2);
  metrics_.Report("run/cotrain", Phase::kCotrain, 160, {}, 2);
  metrics_.Report("run/cotrain", Phase::kCotrain, 170, {}, 3);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_samples_total{phase=\"cotrain\"} 110"));
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
  metrics_.Begin("run/teacher", 1);
  metrics_.Report("run/teacher", Phase::kTeacher, 1, {}, 10);
  metrics_.Report("run/teacher", Phase::kTeacher, 2, {{"checkpoint_write_seconds", 2}, {"checkpoint_bytes", 5}}, 20);
  metrics_.Report("run/teacher", Phase::kTeacher, 3, {{"checkpoint_write_seconds", 2}, {"checkpoint_bytes", 5}}, 30);
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_duration_seconds_count 1"));
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_duration_seconds_sum 2"));
  EXPECT_THAT(Text(), HasSubstr("ferment_checkpoint_last_success_timestamp_seconds 20"));
}

TEST_F(TrainerMetricsTest, ADistributionCountsWhatEachReportAddsByPhase) {
  metrics_.Begin("run/cotrain", 1);
  metrics_.Count("run/cotrain", Phase::kCotrain, Steps({0.02, 0.02}));
  metrics_.Count("run/cotrain", Phase::kCotrain, Steps({0.02, 0.02, 3}));
  metrics_.Count("run/cotrain", Phase::kCotrain, Steps({0.02}));  // comes late
  metrics_.Count("run/cotrain", Phase::kCotrain, Steps({0.02, 0.02, 3, 3}));
  EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_count{phase=\"cotrain\"} 4\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_sum{phase=\"cotrain\"} 6.04\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_bucket{phase=\"cotrain\",le=\"0.025\"} 2\n"));
}

TEST_F(TrainerMetricsTest, TheNextAttemptsProcessCountsFromZero) {
  metrics_.Begin("run/cotrain", 1);
  metrics_.Count("run/cotrain", Phase::kCotrain, Steps({1, 1}));
  metrics_.Report("run/cotrain", Phase::kCotrain, 1, {{"feedback_dropped_undone", 1}}, 1);
  metrics_.End("run/cotrain");
  metrics_.Begin("run/cotrain", 2);
  metrics_.Count("run/cotrain", Phase::kCotrain, Steps({1, 1, 1}));
  metrics_.Report("run/cotrain", Phase::kCotrain, 1, {{"feedback_dropped_undone", 2}}, 1);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_count{phase=\"cotrain\"} 5\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_feedback_dropped_total{reason=\"undone\"} 3\n"));
}

TEST_F(TrainerMetricsTest, OfAProcessThatRanBeforeThisOneOnlyTheRestIsCounted) {
  metrics_.Count("run/teacher", Phase::kTeacher, Steps({1, 1}));
  metrics_.Report("run/teacher", Phase::kTeacher, 1, {{"feedback_dropped_undone", 7}}, 1);
  metrics_.Count("run/teacher", Phase::kTeacher, Steps({1, 1, 1}));
  metrics_.Report("run/teacher", Phase::kTeacher, 1, {{"feedback_dropped_undone", 8}}, 1);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_count{phase=\"teacher\"} 1\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_sum{phase=\"teacher\"} 1\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_feedback_dropped_total{reason=\"undone\"} 1\n"));
}

TEST_F(TrainerMetricsTest, WhatSuchAProcessHadNotYetToTellIsCountedFromItsFirstReportOn) {
  metrics_.Report("run/cotrain", Phase::kCotrain, 1, {}, 1);
  metrics_.Count("run/cotrain", Phase::kCotrain, {});
  metrics_.Report("run/cotrain", Phase::kCotrain, 2, {{"feedback_dropped_undone", 3}}, 2);
  metrics_.Count("run/cotrain", Phase::kCotrain, Steps({1, 1}));
  EXPECT_THAT(Text(), HasSubstr("ferment_feedback_dropped_total{reason=\"undone\"} 3\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_count{phase=\"cotrain\"} 2\n"));
}

TEST_F(TrainerMetricsTest, WhatIsNotKnownMakesNoSeries) {
  metrics_.Begin("run/teacher", 1);
  metrics_.Report("run/teacher", Phase::kTeacher, 0, {}, 1);
  const std::string before = Text();
  metrics_.Count("run/teacher", Phase::kTeacher,
                 {{"step_seconds", {{1, 2}, 3}}, {"dreams", Steps({1}).at("step_seconds")}});
  metrics_.Report("run/teacher", Phase::kTeacher, 0, {{"feedback_dropped_moon", 3}}, 1);
  EXPECT_EQ(Text(), before);
}

TEST_F(TrainerMetricsTest, EveryPhaseThatTrainsIsAtZeroBeforeItsFirstReport) {
  for (const std::string phase : {"teacher", "cotrain", "finetune", "temporal", "evaluate"}) {
    EXPECT_THAT(Text(), HasSubstr("ferment_train_samples_total{phase=\"" + phase + "\"} 0\n"));
    EXPECT_THAT(Text(), HasSubstr("ferment_train_step_duration_seconds_count{phase=\"" + phase + "\"} 0\n"));
  }
  EXPECT_THAT(Text(), Not(HasSubstr("phase=\"label\"")));
  EXPECT_THAT(Text(), Not(HasSubstr("ferment_train_loss"))) << "a loss of 0 would be a lie";
}

TEST_F(TrainerMetricsTest, CollectivesAndStalenessHaveSeriesOfTheirOwn) {
  EXPECT_THAT(Text(), HasSubstr("ferment_collective_duration_seconds_count 0\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_label_staleness_versions_count 0\n"));
  metrics_.Begin("run/cotrain", 1);
  TrainerDistributions told;
  told["collective_seconds"].Observe(0.0002, metrics::kCollectiveSecondsBounds);
  for (const double versions : {0, 0, 2}) told["label_staleness"].Observe(versions, metrics::kStalenessBounds);
  metrics_.Count("run/cotrain", Phase::kCotrain, told);
  EXPECT_THAT(Text(), HasSubstr("ferment_collective_duration_seconds_bucket{le=\"0.00025\"} 1\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_label_staleness_versions_bucket{le=\"0\"} 2\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_label_staleness_versions_bucket{le=\"1\"} 2\n"));
  EXPECT_THAT(Text(), HasSubstr("ferment_label_staleness_versions_bucket{le=\"2\"} 3\n"));
}

TEST_F(TrainerMetricsTest, ARanksProgressIsATimeAndTheOldestOfAllJobsUntilTheJobEnds) {
  metrics_.Begin("run/cotrain", 1);
  metrics_.HearRanks("run/cotrain", std::array{0.5, 30.0}, 1000);
  EXPECT_EQ(RankMoved("0"), 999.5);
  EXPECT_EQ(RankMoved("1"), 970);
  metrics_.HearRanks("other/cotrain", std::array{4.0}, 1001);
  EXPECT_EQ(RankMoved("0"), 997);
  metrics_.HearRanks("run/cotrain", std::array{0.0, 0.0}, 1002);
  EXPECT_EQ(RankMoved("0"), 997) << "one job's reports hide nobody's silence";
  EXPECT_EQ(RankMoved("1"), 1002);
  metrics_.End("other/cotrain");
  EXPECT_EQ(RankMoved("0"), 1002);
  metrics_.Complete("run/cotrain", Phase::kCotrain, 1, {}, 1003);
  EXPECT_EQ(RankMoved("0"), 0);
  EXPECT_EQ(RankMoved("1"), 0);
}

TEST_F(TrainerMetricsTest, OfManyRanksTheLastShareOneSeriesWhichIsTheOldestOfThem) {
  std::vector<double> idle(200, 1);
  idle[150] = 60;
  metrics_.HearRanks("run/cotrain", idle, 1000);
  EXPECT_EQ(RankMoved("31"), 999);
  EXPECT_EQ(RankMoved("32+"), 940);
  EXPECT_THAT(Text(), Not(HasSubstr("rank=\"32\"")));
}

TEST_F(TrainerMetricsTest, FiguresAreOfWhoeverReportedLastAndFinite) {
  metrics_.Report("run/cotrain", Phase::kCotrain, 1,
                  {{"loss", 2}, {"h", -0.5}, {"feedback_cosine", 0.75}, {"macro_f1", 0.25}}, 1);
  metrics_.Report("run/cotrain", Phase::kCotrain, 2, {{"loss", std::numeric_limits<double>::infinity()}}, 2);
  EXPECT_THAT(Text(), HasSubstr("ferment_train_loss{phase=\"cotrain\"} 2"));
  EXPECT_THAT(Text(), HasSubstr("ferment_feedback_coefficient -0.5"));
  EXPECT_THAT(Text(), HasSubstr("ferment_feedback_gradient_cosine 0.75"));
  EXPECT_THAT(Text(), HasSubstr("ferment_eval_macro_f1_ratio{phase=\"cotrain\"} 0.25"));
}

TEST_F(TrainerMetricsTest, TheEvaluationIsTheStudentsByClass) {
  metrics_.Complete("run/evaluate", Phase::kEvaluate, 9,
                    {{"macro_f1_student", 0.5},
                     {"macro_f1_teacher", 0.25},
                     {"student_f1_Fear", 0.125},
                     {"temporal_flip_ratio", 0.0625}},
                    1);
  EXPECT_THAT(Text(), HasSubstr("ferment_eval_f1_ratio{class=\"Fear\"} 0.125"));
  EXPECT_THAT(Text(), HasSubstr("ferment_eval_macro_f1_ratio{phase=\"evaluate\"} 0.5"));
  EXPECT_THAT(Text(), HasSubstr("ferment_temporal_flip_ratio 0.0625"));
}

TEST_F(TrainerMetricsTest, ATrainerThatNamesNewClassesForEverMakesNoNewSeries) {
  for (int job = 0; job < 100; ++job) {
    const std::string name = "student_f1_class" + std::to_string(job);
    metrics_.Complete("run/evaluate", Phase::kEvaluate, 9, {{name, 0.5}, {"student_f1_Fear", job}}, 1);
  }
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("ferment_eval_f1_ratio{class=\"Fear\"} 99"));
  std::size_t series = 0;
  for (std::size_t at = 0; (at = text.find("ferment_eval_f1_ratio{", at)) != std::string::npos; ++at) ++series;
  EXPECT_EQ(series, 8U);
}

}  // namespace
}  // namespace ferment::coordinator
