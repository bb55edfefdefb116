// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

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

/// Standard error is a pipe that is full before the program begins, and that nobody reads.
TEST_F(Signals, ACoordinatorWhoseLogNobodyReadsServesAndLeaves) {
  const std::filesystem::path unread = folder() / "unread";
  ASSERT_EQ(mkfifo(unread.c_str(), 0600), 0);
  const int pipe = open(unread.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(pipe, 0);
  while (write(pipe, "x", 1) == 1) continue;
  auto coordinator =
      event::ChildProcess::Start({.argv = {(BinFolder() / "ferment-coordinator").string(), "--store",
                                           "sqlite:" + (folder() / "unread.db").string(), "--listen", "127.0.0.1:0",
                                           "--admin", "127.0.0.1:0", "--address-file", (folder() / "address").string()},
                                  .output = folder() / "output.txt",
                                  .errors = unread});
  ASSERT_TRUE(coordinator);
  EXPECT_TRUE(WaitUntil(*coordinator, [&] { return std::filesystem::exists(folder() / "address"); }));
  coordinator->Signal(SIGTERM);
  EXPECT_EQ(Wait(*coordinator).exit_code, exit_code::kTerminated);
  close(pipe);
}

/// A trainer that has its handlers and waits for a spec that nobody has written yet, until LetTheSpecCome.
class TrainerSignals : public Signals {
 protected:
  void SetUp() override {
    Signals::SetUp();
    data_ = RenderSmallestSets();
    ASSERT_EQ(mkfifo(spec().c_str(), 0600), 0);
    trainer_.emplace(Start({(BinFolder() / "ferment-trainer").string(), "--spec", spec().string(), "--run-dir",
                            run_dir().string(), "--phase", "teacher"}));
    ASSERT_TRUE(Says(*trainer_, "rank_found")) << Output();
  }
  std::filesystem::path spec() const { return folder() / "spec.yaml"; }

  /// Sends a signal and waits until it is taken: two that wait together would be one.
  void Send(int number) {
    trainer_->Signal(number);
    const auto pending = [&] {
      std::ifstream status("/proc/" + std::to_string(trainer_->pid()) + "/status");
      std::string word;
      while (status >> word && word != "ShdPnd:") {
      }
      std::uint64_t set = 0;
      status >> std::hex >> set;
      return (set >> (number - 1) & 1) != 0;
    };
    EXPECT_TRUE(WaitUntil(*trainer_, [&] { return !pending(); }) || trainer_->Poll());
  }
  void LetTheSpecCome() const {
    std::ofstream(spec()) << SmallestSpec(data_,
                                          "teacher: {steps: 100000, batch: 4}\ncheckpoint: {every_steps: 100000}\n");
  }

  std::filesystem::path data_;
  std::optional<event::ChildProcess> trainer_;
};

TEST_F(TrainerSignals, TheFirstIntEndsItWithACheckpointAndAsTerm) {
  Send(SIGINT);
  ASSERT_FALSE(trainer_->Poll()) << Output();
  LetTheSpecCome();
  const Outcome outcome = Wait(*trainer_);
  EXPECT_EQ(outcome.exit_code, exit_code::kTerminated) << outcome.output;
  EXPECT_TRUE(HasCheckpoint("teacher")) << outcome.output;
  EXPECT_FALSE(HasResult("teacher"));
}

TEST_F(TrainerSignals, TheSecondIntEndsItAtOnceWith130) {
  Send(SIGINT);
  Send(SIGINT);
  EXPECT_EQ(Wait(*trainer_).exit_code, exit_code::kInterrupted);
  EXPECT_FALSE(HasCheckpoint("teacher"));
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
