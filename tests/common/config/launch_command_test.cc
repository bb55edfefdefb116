// SPDX-License-Identifier: Apache-2.0
#include "common/config/launch_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace ferment {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

RunSpec SpecWithRanks(std::uint32_t ranks) {
  RunSpec spec;
  spec.mutable_resources()->set_ranks(ranks);
  return spec;
}

TrainerLaunch Cotrain() {
  return {.mpirun = "/opt/mpirun", .trainer = "/opt/trainer", .run_dir = "/runs/demo", .phase = "cotrain", .cores = 4};
}

TEST(LaunchCommand, StartsTheTrainerUnderMpirun) {
  const LaunchCommand command = MakeLaunchCommand(SpecWithRanks(2), Cotrain());
  const std::string line = ToShell(command);
  EXPECT_THAT(line, HasSubstr("/opt/mpirun -np 2 --bind-to none --oversubscribe"));
  EXPECT_THAT(line, HasSubstr("/opt/trainer --spec /runs/demo/spec.yaml --run-dir /runs/demo --phase cotrain"));
  EXPECT_THAT(line, Not(HasSubstr("--round")));
  EXPECT_THAT(line, Not(HasSubstr("--coordinator")));
}

TEST(LaunchCommand, NamesRoundCoordinatorAndAttempt) {
  TrainerLaunch launch = Cotrain();
  launch.round = 1;
  launch.coordinator = "127.0.0.1:7";
  launch.run_id = "r1";
  launch.attempt = 3;
  EXPECT_THAT(ToShell(MakeLaunchCommand(SpecWithRanks(1), launch)),
              HasSubstr("--round 1 --coordinator 127.0.0.1:7 --run-id r1 --attempt 3"));
}

TEST(LaunchCommand, YieldsOnlyWhereRanksExceedCores) {
  EXPECT_THAT(ToShell(MakeLaunchCommand(SpecWithRanks(4), Cotrain())), Not(HasSubstr("mpi_yield_when_idle")));
  EXPECT_THAT(ToShell(MakeLaunchCommand(SpecWithRanks(5), Cotrain())), HasSubstr("mpi_yield_when_idle 1"));
}

// Twice this time passes after each failure before anybody hears of it: docs/decisions/0012-how-long-mpirun-waits.md.
TEST(LaunchCommand, LetsMpirunWaitForSecondsOnly) {
  EXPECT_THAT(ToShell(MakeLaunchCommand(SpecWithRanks(1), Cotrain())), HasSubstr("odls_base_sigkill_timeout 2 "));
}

TEST(LaunchCommand, SharesTheCores) {
  EXPECT_EQ(ThreadsPerRank(SpecWithRanks(1), 4), 4U);
  EXPECT_EQ(ThreadsPerRank(SpecWithRanks(3), 4), 1U);
  EXPECT_EQ(ThreadsPerRank(SpecWithRanks(9), 4), 1U);
  RunSpec spec = SpecWithRanks(2);
  spec.mutable_resources()->set_threads_per_rank(7);
  EXPECT_THAT(MakeLaunchCommand(spec, Cotrain()).env, Contains(Pair("OMP_NUM_THREADS", "7")));
}

TEST(LaunchCommand, LeavesTheCoreWhereThreadsWaitForEachOther) {
  TrainerLaunch launch = Cotrain();
  EXPECT_THAT(MakeLaunchCommand(SpecWithRanks(1), launch).env, Contains(Pair("GOMP_SPINCOUNT", "30000")));
  launch.spin_count = "7";
  EXPECT_THAT(MakeLaunchCommand(SpecWithRanks(1), launch).env, Contains(Pair("GOMP_SPINCOUNT", "7")));
}

TEST(LaunchCommand, OnThisMachineTakesTheSpinCountOfTheEnvironment) {
  const char* const set = std::getenv("GOMP_SPINCOUNT");
  const std::string former = set == nullptr ? "" : set;
  unsetenv("GOMP_SPINCOUNT");
  EXPECT_EQ(LaunchOnThisMachine().spin_count, TrainerLaunch().spin_count);
  setenv("GOMP_SPINCOUNT", "7", /*overwrite=*/1);
  EXPECT_EQ(LaunchOnThisMachine().spin_count, "7");
  set == nullptr ? unsetenv("GOMP_SPINCOUNT") : setenv("GOMP_SPINCOUNT", former.c_str(), 1);
}

TEST(LaunchCommand, TellsOpenMpiThatRootIsMeantOnlyForRoot) {
  TrainerLaunch launch = Cotrain();
  EXPECT_THAT(MakeLaunchCommand(SpecWithRanks(1), launch).env, Not(Contains(Pair("OMPI_ALLOW_RUN_AS_ROOT", "1"))));
  launch.as_root = true;
  EXPECT_THAT(MakeLaunchCommand(SpecWithRanks(1), launch).env, Contains(Pair("OMPI_ALLOW_RUN_AS_ROOT", "1")));
  EXPECT_THAT(MakeLaunchCommand(SpecWithRanks(1), launch).env, Contains(Pair("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")));
}

TEST(LaunchCommand, QuotesForTheShell) {
  EXPECT_EQ(ToShell({{"a b", "it's", "", "plain-1"}, {{"X", "$HOME"}}}), "X='$HOME' 'a b' 'it'\\''s' '' plain-1");
}

}  // namespace
}  // namespace ferment
