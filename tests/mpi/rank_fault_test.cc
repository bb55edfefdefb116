// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdlib>
#include <thread>

#include "tests/mpi/rank_fault_fixture.h"

namespace ferment::road {
namespace {

/// A representative cut; `ManyRankFaults` has the counts.
class RankFaults : public RankFaultTest {};

TEST_F(RankFaults, AKilledRankIsNamedAndTheJobEndsWith201) {
  const int first = std::uniform_int_distribution<int>(0, kRanks - 1)(draw_);
  for (int i = 0; i < 2; ++i) ExpectNamed(RankFault::kKill, (first + i) % kRanks, "dead", 201);
}

TEST_F(RankFaults, AStoppedRankIsNamedAndTheJobEndsWith203) {
  const int first = std::uniform_int_distribution<int>(0, kRanks - 1)(draw_);
  for (int i = 0; i < 2; ++i) ExpectNamed(RankFault::kStop, (first + i) % kRanks, "stopped", 203);
}

TEST_F(RankFaults, AJobThatIsDoneOrAskedToStopNamesNobody) {
  event::ChildProcess whole = StartJob(3);
  const Outcome done = Wait(whole);
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(done.output.find("rank_lost"), std::string::npos) << done.output;
  EXPECT_EQ(done.output.find("watch_off"), std::string::npos) << done.output;
  event::ChildProcess stopped = StartJob(kManySteps);
  ASSERT_TRUE(WaitForStep(stopped, 2)) << Output();
  stopped.Signal(SIGUSR2);  // mpirun gives it to every rank
  const Outcome asked = Wait(stopped);
  EXPECT_EQ(asked.exit_code, 143) << asked.output;
  EXPECT_EQ(asked.output.find("rank_lost"), std::string::npos) << asked.output;
  EXPECT_TRUE(HasCheckpoint("cotrain"));
  ExpectNoProcessOfTheJob();
}

class ManyRankFaults : public RankFaultTest {
 protected:
  void SetUp() override {
    if (std::getenv("FERMENT_LONG_TESTS") == nullptr)
      GTEST_SKIP() << "it takes half an hour; set FERMENT_LONG_TESTS=1 or run `make test-long`";
    RankFaultTest::SetUp();
  }
  static constexpr int kTimes = 20;
};

TEST_F(ManyRankFaults, AKilledRankIsNamedEachTime) {
  for (int i = 0; i < kTimes; ++i) ExpectNamed(RankFault::kKill, i % kRanks, "dead", 201);
}

TEST_F(ManyRankFaults, AStoppedRankIsNamedEachTime) {
  for (int i = 0; i < kTimes; ++i) ExpectNamed(RankFault::kStop, i % kRanks, "stopped", 203);
}

TEST_F(ManyRankFaults, ARankWhoseMainThreadIsHeldIsNamedEachTime) {
  for (int i = 0; i < kRanks; ++i) ExpectNamed(RankFault::kHold, i, "stuck", 203);
}

TEST_F(ManyRankFaults, ThreeRanksThatAreSuspendedTogetherGoOn) {
  event::ChildProcess job = StartJob(kManySteps);
  ASSERT_TRUE(WaitForStep(job, 3)) << Output();
  const auto ranks = FindRanks();
  for (const auto& [rank, pid] : ranks) kill(pid, SIGSTOP);
  const int before = StepsMade();
  std::this_thread::sleep_for(std::chrono::seconds(25));  // past every limit but the long one
  EXPECT_LE(StepsMade(), before + 1);
  for (const auto& [rank, pid] : ranks) kill(pid, SIGCONT);
  EXPECT_TRUE(WaitForStep(job, before + 20)) << Output();
  job.Signal(SIGUSR2);
  const Outcome outcome = Wait(job);
  EXPECT_EQ(outcome.exit_code, 143) << outcome.output;
  EXPECT_EQ(outcome.output.find("rank_lost"), std::string::npos) << outcome.output;
  ExpectNoProcessOfTheJob();
}

TEST_F(ManyRankFaults, RanksWhoseMpirunIsKilledAreGoneEvenIfOneIsStopped) {
  event::ChildProcess job = StartJob(kManySteps);
  ASSERT_TRUE(WaitForStep(job, 3)) << Output();
  kill(FindRanks().at(1), SIGSTOP);
  job.Signal(SIGKILL);
  (void)Wait(job);
  ExpectNoProcessOfTheJob();
}

}  // namespace
}  // namespace ferment::road
