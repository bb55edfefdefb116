// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/run_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferment::coordinator {
namespace {

TEST(RunStatus, SaysWhatAJobWaitsForToClientsAndToThePage) {
  RunView run;
  run.run_id = "demo-1";
  JobView job;
  job.job_id = "cotrain";
  job.waiting = "its trainer left no word";
  run.jobs.push_back(job);
  EXPECT_EQ(ToRunStatus(run).jobs(0).waiting(), "its trainer left no word");
  EXPECT_THAT(RunsAsJson({run}), ::testing::HasSubstr(R"("waiting":"its trainer left no word")"));
}

}  // namespace
}  // namespace ferment::coordinator
