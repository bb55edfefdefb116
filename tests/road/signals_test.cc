// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

/// What docs/operations.md says of signals, of the programs themselves. Of signals that wait together the lower number
/// is delivered first, so that a program which one of them ends by default does not leave with its own code.
class Signals : public RoadTest {
 protected:
  std::string Output() const {
    std::ifstream stream(folder() / "output.txt");
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  bool Says(event::ChildProcess& process, const std::string& text) {
    return WaitUntil(process, [&] { return Output().find(text) != std::string::npos; });
  }
  event::ChildProcess StartCoordinator(const std::string& store) {
    event::ChildProcess coordinator =
        Start({(BinFolder() / "ferment-coordinator").string(), "--store", "sqlite:" + (folder() / store).string(),
               "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"});
    EXPECT_TRUE(Says(coordinator, "coordinator.serving")) << Output();
    return coordinator;
  }
  /// One that looks for a coordinator where there is none.
  event::ChildProcess StartLabeler() {
    event::ChildProcess labeler = Start({(BinFolder() / "ferment-labeler").string(), "--coordinator", "127.0.0.1:1"});
    EXPECT_TRUE(Says(labeler, "labeler_started")) << Output();
    return labeler;
  }
  void ExpectStaysThenLeavesWith143(event::ChildProcess& process, int end) {
    process.Signal(SIGHUP);
    process.Signal(SIGUSR1);
    EXPECT_TRUE(Says(process, "credentials.none")) << Output();
    process.Signal(end);
    EXPECT_EQ(Wait(process).exit_code, exit_code::kTerminated);
  }
};

TEST_F(Signals, ACoordinatorStaysOnHupAndUsr1AndLeavesOnTheFirstIntAsOnTerm) {
  for (const int end : {SIGTERM, SIGINT, SIGUSR2}) {
    SCOPED_TRACE(end);
    event::ChildProcess coordinator = StartCoordinator(std::to_string(end) + ".db");
    ExpectStaysThenLeavesWith143(coordinator, end);
  }
}

TEST_F(Signals, ALabelerStaysOnHupAndUsr1AndLeavesOnTheFirstIntAsOnTerm) {
  for (const int end : {SIGTERM, SIGINT, SIGUSR2}) {
    SCOPED_TRACE(end);
    event::ChildProcess labeler = StartLabeler();
    ExpectStaysThenLeavesWith143(labeler, end);
  }
}

TEST_F(Signals, ARunWhoseTerminalIsClosedEndsItsProcessesAndGoesOnLater) {
  event::ChildProcess run = Start(RunCommand({"--set", "teacher.steps=100000"}));
  ASSERT_TRUE(WaitUntil(run, [&] { return HasCheckpoint("teacher"); })) << Output();
  run.Signal(SIGUSR1);
  run.Signal(SIGHUP);
  run.Signal(SIGHUP);
  const Outcome outcome = Wait(run);
  EXPECT_EQ(outcome.exit_code, exit_code::kTerminated) << outcome.output;
  EXPECT_NE(outcome.output.find("the same command goes on from here"), std::string::npos) << outcome.output;
  ExpectNoProcessLeft();
}

TEST_F(Signals, ARunUnderNohupGoesOnWhenTheTerminalIsClosed) {
  std::string command = "trap '' HUP; exec";
  for (const std::string& word : RunCommand({"--set", "teacher.steps=100000"})) command += " '" + word + "'";
  event::ChildProcess run = Start({"/bin/sh", "-c", command});
  ASSERT_TRUE(WaitUntil(run, [&] { return HasCheckpoint("teacher"); })) << Output();
  run.Signal(SIGHUP);
  run.Signal(SIGINT);
  EXPECT_EQ(Wait(run).exit_code, exit_code::kInterrupted) << "HUP came first and was not ignored";
  ExpectNoProcessLeft();
}

}  // namespace
}  // namespace ferment::road
