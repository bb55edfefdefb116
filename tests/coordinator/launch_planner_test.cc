// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/config/spec_defaults.h"

namespace ferment::coordinator {
namespace {

/// Returns: the coordinator's address in the command of an attempt.
std::string Told(const CoordinatorConfig& config, const std::string& served) {
  Run run;
  run.run_id = "small-1";
  run.run_dir = "/runs/small";
  Job job;
  job.attempt.number = 1;
  const LaunchRequest request = MakeLaunchPlanner(config, served)(DefaultSpec(), run, job);
  const auto flag = std::ranges::find(request.argv, "--coordinator");
  return flag == request.argv.end() ? "" : *std::next(flag);
}

TEST(LaunchPlanner, TellsTrainersWhereItServesOrWhatItWasToldToSay) {
  CoordinatorConfig config;
  EXPECT_EQ(Told(config, "127.0.0.1:7070"), "127.0.0.1:7070");
  EXPECT_EQ(Told(config, "0.0.0.0:7070"), "localhost:7070");
  config.advertise = "leader.example:443";
  EXPECT_EQ(Told(config, "10.0.0.1:7070"), "leader.example:443");
}

}  // namespace
}  // namespace ferment::coordinator
