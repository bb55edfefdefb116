// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "common/metrics/process_metrics.h"
#include "common/metrics/prometheus_registry.h"
#include "coordinator/call_trail.h"
#include "coordinator/metrics/scheduler_metrics.h"
#include "coordinator/readiness.h"

namespace ferment::coordinator {
namespace {

using ::testing::IsEmpty;

std::string ReadSource(const std::string& path) {
  std::ifstream file(std::string(FERMENT_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::set<std::string> Matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

metrics::Distribution One(std::span<const double> bounds) {
  metrics::Distribution one;
  one.Observe(1, bounds);
  return one;
}

/// Makes every series that labelers and trainers can bring about: more classes and reasons than are kept, all phases,
/// many ranks.
void BringAbout(SchedulerMetrics& all) {
  std::vector<std::string> classes;
  for (char name = 'a'; name < 'z'; ++name) classes.emplace_back(1, name);
  all.ShowClasses(classes);
  RecordCounts counts;
  counts.class_histogram.assign(classes.size(), 1);
  std::map<std::string, std::uint64_t> reasons;
  for (char reason = 'a'; reason < 'z'; ++reason) reasons[std::string(1, reason)] = 1;
  counts.quarantined = reasons.size();
  all.Count(counts, reasons, classes);
  TrainerFigures figures = {{"loss", 1},
                            {"h", 1},
                            {"macro_f1", 1},
                            {"macro_f1_student", 1},
                            {"checkpoint_bytes", 1},
                            {"checkpoint_write_seconds", 1},
                            {"feedback_cosine", 1},
                            {"temporal_flip_ratio", 1}};
  for (const std::string& name : classes) figures["student_f1_" + name] = 1;
  for (int number = 0; number < 7; ++number) {
    const auto phase = static_cast<Phase>(number);
    const std::string job(PhaseName(phase));
    all.trainers.Begin(job, 1);
    all.trainers.Count(job, phase, {{"step_seconds", One(metrics::kStepSecondsBounds)}});
    all.trainers.HearRanks(job, std::vector<double>(1000, 1), 100);
    all.trainers.Complete(job, phase, 1, figures, 1);
  }
}

class MetricNames : public ::testing::Test {
 protected:
  MetricNames() { BringAbout(scheduler_); }

  /// Returns: every metric that a coordinator serves, with its prefix.
  std::set<std::string> Served() {
    const CallTrail calls(rpc::AccessPolicy(), *registry_, nullptr, [](const Status&) {});
    const metrics::ProcessMetrics process(*registry_);
    AdminState admin;
    const StoreWatch store;
    const Readiness readiness(admin, *registry_, scheduler_, store);
    registry_->MakeCounter("ferment_rpc_server_handled_total", "");
    registry_->MakeGauge("ferment_build_info", "");  // CoordinatorProcess makes it
    return Matches(registry_->Exposition(), std::regex("# TYPE (ferment_[a-z0-9_]+) "));
  }
  /// Returns: names in the file that are of no metric.
  std::set<std::string> Strange(const std::string& path) {
    const std::set<std::string> served = Served();
    std::set<std::string> used = Matches(ReadSource(path), std::regex("\\b(ferment_[a-z0-9_]+)"));
    EXPECT_GT(used.size(), 10U) << path;
    std::erase_if(used, [&](const std::string& name) {
      return served.contains(name) || served.contains(std::regex_replace(name, std::regex("_(bucket|sum|count)$"), ""));
    });
    return used;
  }

  const std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  SchedulerMetrics scheduler_{*registry_};
};

TEST_F(MetricNames, AlertsAndPanelsUseMetricsThatAreServed) {
  for (const char* path : {"deploy/prometheus/ferment.rules.yml", "deploy/prometheus/ferment.rules.test.yml",
                           "deploy/kubernetes/base/alerts.yaml", "deploy/grafana/ferment.json"})
    EXPECT_THAT(Strange(path), IsEmpty()) << path;
}

TEST_F(MetricNames, OperationsSpeaksOfEveryMetricAndOfNoOther) {
  const std::string text = ReadSource("docs/operations.md");
  const std::size_t begin = text.find("| names | what |");
  ASSERT_NE(begin, std::string::npos);
  const std::string table = text.substr(begin, text.find("\n\n", begin) - begin);
  std::set<std::string> told;
  for (const std::string& name : Matches(table, std::regex("`([a-z0-9_]+)(?:\\{[a-z,]+\\})?`")))
    told.insert("ferment_" + name);
  std::set<std::string> untold = Served();
  std::erase_if(untold, [&](const std::string& name) { return told.contains(name); });
  EXPECT_THAT(untold, IsEmpty());
  std::set<std::string> first_cells;
  for (const std::string& cell : Matches(table, std::regex("\n\\| (`[^|]+) \\|"))) {
    for (const std::string& name : Matches(cell, std::regex("`([a-z0-9_]+)(?:\\{[a-z,]+\\})?`")))
      first_cells.insert("ferment_" + name);
  }
  const std::set<std::string> served = Served();
  std::erase_if(first_cells, [&](const std::string& name) { return served.contains(name); });
  EXPECT_THAT(first_cells, IsEmpty());
}

TEST_F(MetricNames, EveryAlertHasItsPageInOperations) {
  const std::string operations = ReadSource("docs/operations.md");
  const std::string rules = ReadSource("deploy/prometheus/ferment.rules.yml");
  const std::string tests = ReadSource("deploy/prometheus/ferment.rules.test.yml");
  const std::set<std::string> alerts = Matches(rules, std::regex("- alert: ([A-Za-z0-9]+)"));
  EXPECT_GT(alerts.size(), 20U);
  for (const std::string& alert : alerts) {
    std::string anchor = alert;
    std::ranges::transform(anchor, anchor.begin(), [](unsigned char c) { return std::tolower(c); });
    EXPECT_NE(rules.find("runbook_url: \"docs/operations.md#" + anchor + "\""), std::string::npos) << alert;
    EXPECT_NE(operations.find("\n### " + alert + "\n"), std::string::npos) << alert;
    EXPECT_NE(tests.find("  - name: " + alert), std::string::npos) << alert;
  }
}

TEST_F(MetricNames, WhatRunsLabelersAndTrainersBringStaysBelowFourHundredSeries) {
  const std::string text = registry_->Exposition();
  const auto lines = std::ranges::count(text, '\n');
  const auto comments = Matches(text, std::regex("# ((?:HELP|TYPE) ferment_[a-z0-9_]+) ")).size();
  const auto series = lines - static_cast<std::ptrdiff_t>(comments);
  EXPECT_GT(series, 200);
  EXPECT_LE(series, 400);
}

}  // namespace
}  // namespace ferment::coordinator
