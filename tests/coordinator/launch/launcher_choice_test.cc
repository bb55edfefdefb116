// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/launcher_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/recorded_launcher.h"

namespace ferment::coordinator {
namespace {

using ferment::testing::RecordedLauncher;
using ::testing::ElementsAre;
using ::testing::Pair;

TEST(LauncherChoice, HandsEachCallToTheLauncherOfTheRun) {
  auto first = std::make_unique<RecordedLauncher>();
  auto second = std::make_unique<RecordedLauncher>();
  RecordedLauncher& local = *first;
  RecordedLauncher& slurm = *second;
  const auto choice = MakeLauncherChoice(std::move(first), std::move(second));
  const LaunchKey here{"run", "teacher", 1};
  const LaunchKey there{"run", "cotrain", 2, 0, LauncherKind::kSlurm};
  LaunchRequest request;
  request.key = here;
  ASSERT_TRUE(choice->Launch(request).ok());
  request.key = there;
  ASSERT_TRUE(choice->Launch(request).ok());
  EXPECT_THAT(local.launched(), ElementsAre("teacher/1"));
  EXPECT_THAT(slurm.launched(), ElementsAre("cotrain/2"));
  slurm.Exit("cotrain/2", 143);
  EXPECT_EQ(choice->Poll(there, "").exit_code, 143);
  EXPECT_EQ(choice->Poll(here, "").kind, LaunchState::Kind::kRunning);
  ASSERT_TRUE(choice->Signal(there, "", SIGUSR2).ok());
  EXPECT_THAT(slurm.signals(), ElementsAre(Pair("cotrain/2", SIGUSR2)));
  EXPECT_THAT(local.signals(), ElementsAre());
}

}  // namespace
}  // namespace ferment::coordinator
