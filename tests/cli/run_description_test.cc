// SPDX-License-Identifier: Apache-2.0
#include "cli/run_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ferment::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::RunStatus RunInTheMiddle() {
  v1::RunStatus run;
  run.set_run_id("r1");
  run.set_name("demo");
  run.set_run_dir("/runs/demo");
  run.set_state(v1::RUN_STATE_RUNNING);
  run.set_priority(7);
  v1::JobStatus* teacher = run.add_jobs();
  teacher->set_job_id("teacher");
  teacher->set_state(v1::JOB_STATE_SUCCEEDED);
  teacher->set_seconds(65);
  teacher->set_cpu_seconds(130);
  teacher->set_peak_rss_bytes(512ULL << 20U);
  (*teacher->mutable_metrics())["loss"] = 0.5;
  (*teacher->mutable_metrics())["accuracy"] = 0.75;
  v1::JobStatus* label = run.add_jobs();
  label->set_job_id("label");
  label->set_state(v1::JOB_STATE_RUNNING);
  label->set_attempts(2);
  label->set_waiting("its trainer left no word");
  label->set_done(3);
  label->set_total(12);
  label->mutable_shards()->set_committed(3);
  label->mutable_shards()->set_pending(9);
  label->mutable_records()->set_quarantined(4);
  label->mutable_records()->add_class_histogram(11);
  label->mutable_records()->add_class_histogram(22);
  v1::LabelerStatus* labeler = run.add_labelers();
  labeler->set_name("host-12");
  labeler->set_shards_committed(3);
  labeler->set_failures_in_a_row(4);
  labeler->set_cool_down_seconds(61);
  return run;
}

TEST(RunDescription, TellsWhatAListHasNoRoomFor) {
  const std::string text = DescribeRun(RunInTheMiddle());
  for (const char* part : {"Folder:       /runs/demo\n", "Priority:     7\n",
                           "  teacher\n    State:        succeeded\n", "1:05, 2:10 of processors, at most 512 MiB",
                           "accuracy 0.75  loss 0.5", "running, attempt 2", "Waiting:      its trainer left no word\n",
                           "3 of 12 shards (25 %)", "9 pending, 0 leased, 3 committed, 0 failed", "4 quarantined",
                           "11 22 (labelled", "  host-12\n", "4 in a row; granted nothing for 1:01"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("Failure:"))) << "nothing has failed";
}

TEST(RunDescription, SaysWhyARunHasFailed) {
  v1::RunStatus run = RunInTheMiddle();
  run.set_state(v1::RUN_STATE_FAILED);
  run.set_failure("floor tripped");
  run.set_exit_code(65);
  EXPECT_THAT(DescribeRun(run), HasSubstr("State:        failed\n"));
  EXPECT_THAT(DescribeRun(run), HasSubstr("Failure:      floor tripped\nExit code:    65\n"));
}

TEST(RunDescription, APlainLineHasTheSameFieldsWhateverIsInThem) {
  v1::RunStatus run = RunInTheMiddle();
  EXPECT_EQ(PlainLine(run), "r1\trunning\t7\tdemo\tlabel\t3\t12\t/runs/demo");
  run.set_suspended(true);
  run.mutable_jobs(1)->set_state(v1::JOB_STATE_PENDING);
  run.set_name("a\tb\nc");
  EXPECT_EQ(PlainLine(run), "r1\tsuspended\t7\ta?b?c\t-\t-\t-\t/runs/demo");
}

}  // namespace
}  // namespace ferment::cli
