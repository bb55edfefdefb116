// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics/scheduler_metrics.h"

#include <gtest/gtest.h>

#include <limits>
#include <regex>

#include "common/metrics/prometheus_registry.h"

namespace ferment::coordinator {
namespace {

class SchedulerMetricsTest : public ::testing::Test {
 protected:
  void Quarantine(std::uint64_t records, const std::map<std::string, std::uint64_t>& reasons) {
    RecordCounts counts;
    counts.read = counts.quarantined = records;
    metrics_.Count(counts, reasons, {});
  }
  std::string Text() const { return registry_->Exposition(); }
  std::map<std::string, double> ByReason() const {
    return Series(std::regex("ferment_records_quarantined_total\\{reason=\"([^\"]*)\"\\} (\\S+)"));
  }
  std::map<std::string, double> ByClass() const {
    return Series(std::regex("ferment_records_labelled_total\\{class=\"([^\"]*)\"\\} (\\S+)"));
  }
  std::map<std::string, double> Series(const std::regex& series) const {
    const std::string text = Text();
    std::map<std::string, double> found;
    for (std::sregex_iterator at(text.begin(), text.end(), series), end; at != end; ++at)
      found[(*at)[1]] = std::stod((*at)[2]);
    return found;
  }

  std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  SchedulerMetrics metrics_{*registry_};
};

TEST_F(SchedulerMetricsTest, QuarantinedRecordsAreCountedByReasonAndThoseWithoutOneAsOther) {
  Quarantine(5, {{"bad-magic", 2}, {"jpeg-broken", 1}});
  Quarantine(1, {{"bad-magic", 1}});
  EXPECT_EQ(ByReason(), (std::map<std::string, double>{{"bad-magic", 3}, {"jpeg-broken", 1}, {"other", 2}}));
}

TEST_F(SchedulerMetricsTest, ALabelerThatNamesNewReasonsForEverMakesNoNewSeries) {
  Quarantine(1, {{"bad-magic", 1}});
  for (int shard = 0; shard < 1000; ++shard) {
    const std::string name = "reason-" + std::to_string(shard);
    Quarantine(3, {{name, 1}, {name + "-too", 1}});
  }
  Quarantine(1, {{"bad-magic", 1}});
  const std::map<std::string, double> found = ByReason();
  EXPECT_EQ(found.size(), 12U);
  EXPECT_EQ(found.at("bad-magic"), 2);
  double sum = 0;
  for (const auto& [reason, count] : found) sum += count;
  EXPECT_EQ(sum, 3002);
}

TEST_F(SchedulerMetricsTest, WhatDoesNotLookLikeAReasonIsOther) {
  for (const std::string& name : {std::string(), std::string(33, 'a'), std::string("/home/a face.jpg"),
                                  std::string("Bad"), std::string("a\nb"), std::string("other")})
    Quarantine(1, {{name, 1}});
  Quarantine(1, {{std::string(32, 'a'), 1}});
  EXPECT_EQ(ByReason(), (std::map<std::string, double>{{"other", 6}, {std::string(32, 'a'), 1}}));
}

TEST_F(SchedulerMetricsTest, ReasonsComeToNoMoreThanWhatWasQuarantined) {
  Quarantine(4, {{"bad-magic", 3}, {"jpeg-broken", std::numeric_limits<std::uint64_t>::max()}, {"not-a-jpeg", 7}});
  EXPECT_EQ(ByReason(), (std::map<std::string, double>{{"bad-magic", 3}, {"jpeg-broken", 1}, {"other", 0}}));
}

TEST_F(SchedulerMetricsTest, ARunsClassesAreAtZeroBeforeTheirFirstLabel) {
  const std::vector<std::string> classes = {"Fear", "Neutral"};
  EXPECT_EQ(ByClass().size(), 0U);
  metrics_.ShowClasses(classes);
  EXPECT_EQ(ByClass(), (std::map<std::string, double>{{"Fear", 0}, {"Neutral", 0}}));
  RecordCounts counts;
  counts.class_histogram = {0, 3};
  metrics_.Count(counts, {}, classes);
  metrics_.ShowClasses(classes);
  EXPECT_EQ(ByClass(), (std::map<std::string, double>{{"Fear", 0}, {"Neutral", 3}}));
}

TEST_F(SchedulerMetricsTest, RunsThatNameNewClassesForEverMakeNoNewSeries) {
  RecordCounts counts;
  counts.class_histogram = {1, 2};
  for (int run = 0; run < 100; ++run) {
    const std::vector<std::string> classes = {"Fear" + std::to_string(run), "Neutral"};
    metrics_.ShowClasses(classes);
    metrics_.Count(counts, {}, classes);
  }
  const std::map<std::string, double> found = ByClass();
  EXPECT_EQ(found.size(), 17U);
  EXPECT_EQ(found.at("Neutral"), 200);
  EXPECT_EQ(found.at("Fear14"), 1);
  EXPECT_EQ(found.at("other"), 85);
}

}  // namespace
}  // namespace ferment::coordinator
