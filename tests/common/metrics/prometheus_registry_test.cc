// SPDX-License-Identifier: Apache-2.0
#include "common/metrics/prometheus_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferment::metrics {
namespace {

using testing::HasSubstr;

TEST(PrometheusRegistry, WritesZeroBeforeTheFirstEvent) {
  const auto registry = MakePrometheusRegistry();
  registry->MakeCounter("ferment_lease_granted_total", "Leases granted.");
  EXPECT_THAT(registry->Exposition(), HasSubstr("# HELP ferment_lease_granted_total Leases granted."));
  EXPECT_THAT(registry->Exposition(), HasSubstr("\nferment_lease_granted_total 0"));
}

TEST(PrometheusRegistry, GivesOneMetricANameAndLabels) {
  const auto registry = MakePrometheusRegistry();
  Counter& ok = registry->MakeCounter("ferment_commit_total", "Commits.", {{"result", "ok"}});
  Counter& fenced = registry->MakeCounter("ferment_commit_total", "Commits.", {{"result", "fenced"}});
  EXPECT_NE(&ok, &fenced);
  EXPECT_EQ(&ok, &registry->MakeCounter("ferment_commit_total", "Commits.", {{"result", "ok"}}));
  ok.Increment();
  ok.Add(2);
  EXPECT_EQ(ok.Value(), 3);
  EXPECT_THAT(registry->Exposition(), HasSubstr("ferment_commit_total{result=\"ok\"} 3"));
  EXPECT_THAT(registry->Exposition(), HasSubstr("ferment_commit_total{result=\"fenced\"} 0"));
}

TEST(PrometheusRegistry, WritesGaugesAndHistograms) {
  const auto registry = MakePrometheusRegistry();
  registry->MakeGauge("ferment_feedback_coefficient", "h of the last step.").Set(-0.5);
  Histogram& durations = registry->MakeHistogram("ferment_shard_label_duration_seconds", "Time a shard.", {1, 10});
  durations.Observe(0.5);
  durations.Observe(5);
  durations.Add(std::vector<std::uint64_t>{1, 0, 2}, 60.5);
  const std::string text = registry->Exposition();
  EXPECT_THAT(text, HasSubstr("ferment_feedback_coefficient -0.5"));
  EXPECT_THAT(text, HasSubstr("ferment_shard_label_duration_seconds_bucket{le=\"1\"} 2"));
  EXPECT_THAT(text, HasSubstr("ferment_shard_label_duration_seconds_bucket{le=\"+Inf\"} 5"));
  EXPECT_THAT(text, HasSubstr("ferment_shard_label_duration_seconds_sum 66"));
}

}  // namespace
}  // namespace ferment::metrics
