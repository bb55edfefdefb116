// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "common/base/json.h"

namespace ferment::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

class SettableClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now; }
  WallTime WallNow() const override { return {}; }
  MonotonicTime now{std::chrono::hours(1)};
};

class ProgressBarTest : public testing::Test {
 protected:
  void SetUp() override {
    run_.set_state(v1::RUN_STATE_RUNNING);
    job_ = run_.add_jobs();
    job_->set_job_id("cotrain");
    job_->set_phase("cotrain");
    job_->set_state(v1::JOB_STATE_RUNNING);
    job_->set_total(600);
    job_->set_rate(845);
  }

  std::string Shown(const ProgressStyle& style) {
    std::ostringstream out;
    ProgressBar bar(out, style, clock_);
    job_->set_done(100);
    bar.Show(run_);
    clock_.now += std::chrono::seconds(20);
    job_->set_done(300);
    (*job_->mutable_metrics())["loss"] = 1.25;
    (*job_->mutable_metrics())["h"] = 0.0012;
    bar.Show(run_);
    bar.Show(run_);
    bar.Finish();
    return out.str();
  }

  SettableClock clock_;
  v1::RunStatus run_;
  v1::JobStatus* job_ = nullptr;
};

TEST_F(ProgressBarTest, SaysWhatAJobWaitsFor) {
  job_->set_waiting("its trainer left no word");
  EXPECT_THAT(Shown({.mode = ProgressMode::kPlain}), HasSubstr("  its trainer left no word\n"));
}

TEST_F(ProgressBarTest, TellsShareRateTimeLeftAndFigures) {
  const std::string text = Shown({.mode = ProgressMode::kTerminal, .columns = 200});
  EXPECT_THAT(text, HasSubstr(" 50%  300/600 steps  845 faces/s  ETA 0:30  loss 1.250  h 1.2e-03"));
  EXPECT_THAT(text, HasSubstr("\r\x1b[2K"));
}

TEST_F(ProgressBarTest, CutsALineToTheTerminal) {
  const std::string text = Shown({.mode = ProgressMode::kTerminal, .columns = 40});
  EXPECT_THAT(text, Not(HasSubstr("steps")));
}

TEST_F(ProgressBarTest, WritesPlainLinesWithoutControlCharactersAndNotTooMany) {
  const std::string text = Shown({});
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST_F(ProgressBarTest, WritesOneJsonObjectALine) {
  std::istringstream lines(Shown({.mode = ProgressMode::kJson}));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto json = ParseJson(line);
    ASSERT_TRUE(json) << line;
    EXPECT_EQ((*json)["jobs"][0]["job_id"], "cotrain");
  }
  EXPECT_EQ(count, 3);
}

TEST_F(ProgressBarTest, IsSilentWhenAskedToBe) {
  EXPECT_EQ(Shown({.mode = ProgressMode::kQuiet}), "");
  std::ostringstream out;
  ProgressBar(out, {.mode = ProgressMode::kQuiet}, clock_).Note("labeler 1 died");
  EXPECT_EQ(out.str(), "");
}

TEST_F(ProgressBarTest, EndsAPhaseOnce) {
  job_->set_state(v1::JOB_STATE_FAILED);
  job_->set_failure("class without a sample: class=Fear");
  std::ostringstream out;
  ProgressBar bar(out, {}, clock_);
  bar.Show(run_);
  bar.Show(run_);
  EXPECT_EQ(out.str(), "✗ cotrain    failed: class without a sample: class=Fear\n");
}

TEST_F(ProgressBarTest, ShowsAPhaseAgainThatWasReopened) {
  std::ostringstream out;
  ProgressBar bar(out, {}, clock_);
  job_->set_state(v1::JOB_STATE_FAILED);
  bar.Show(run_);
  job_->set_state(v1::JOB_STATE_RUNNING);
  bar.Show(run_);
  job_->set_state(v1::JOB_STATE_SUCCEEDED);
  bar.Show(run_);
  EXPECT_THAT(out.str(), HasSubstr("✓ cotrain"));
}

TEST(FormatDuration, ReadsAsAClock) {
  EXPECT_EQ(FormatDuration(-1), "0:00");
  EXPECT_EQ(FormatDuration(7.4), "0:07");
  EXPECT_EQ(FormatDuration(750), "12:30");
  EXPECT_EQ(FormatDuration(7500), "2:05:00");
}

}  // namespace
}  // namespace ferment::cli
