// SPDX-License-Identifier: Apache-2.0
#include "common/event/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "common/event/process_record.h"

namespace ferment::event {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

std::string TextOf(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::filesystem::path FreshFile(const std::string& name) {
  const auto file = std::filesystem::path(testing::TempDir()) / ("child_process_" + std::to_string(getpid())) / name;
  std::filesystem::remove(file);
  return file;
}

ChildProcess StartShell(const std::string& script, const std::filesystem::path& output = {}) {
  auto child = ChildProcess::Start({.argv = {"sh", "-c", script}, .output = output});
  EXPECT_TRUE(child) << child.error().message();
  return std::move(*child);
}

TEST(ChildProcess, TellsTheExitCode) {
  ChildProcess child = StartShell("exit 42");
  EXPECT_EQ(child.WaitFor(seconds(10)), 42);
  EXPECT_EQ(child.Poll(), 42);
}

TEST(ChildProcess, TellsTheSignalAsAShellDoes) {
  ChildProcess child = StartShell("kill -9 $$");
  EXPECT_EQ(child.WaitFor(seconds(10)), 128 + SIGKILL);
}

TEST(ChildProcess, GivesVariablesFolderAndOutput) {
  const auto log = FreshFile("deep/folder/log");
  setenv("FERMENT_KEPT", "kept", 1);
  auto child = ChildProcess::Start({.argv = {"sh", "-c", "echo $ADDED $FERMENT_KEPT; pwd; echo oops >&2; cat"},
                                    .env = {{"ADDED", "a b"}},
                                    .output = log,
                                    .working_dir = "/"});
  ASSERT_TRUE(child) << child.error().message();
  EXPECT_EQ(child->WaitFor(seconds(10)), 0);
  EXPECT_EQ(TextOf(log), "a b kept\n/\noops\n");
}

TEST(ChildProcess, AppendsToItsLog) {
  const auto log = FreshFile("appended");
  StartShell("echo one", log).WaitFor(seconds(10));
  StartShell("echo two", log).WaitFor(seconds(10));
  EXPECT_EQ(TextOf(log), "one\ntwo\n");
}

TEST(ChildProcess, DoesNotHandDownOpenFiles) {
  const auto log = FreshFile("files");
  int pipe_handles[2];
  ASSERT_EQ(pipe(pipe_handles), 0);
  StartShell("ls /proc/self/fd | wc -l", log).WaitFor(seconds(10));
  // Input, output, error, and the folder that ls itself reads.
  EXPECT_EQ(std::stoi(TextOf(log)), 4);
  close(pipe_handles[0]);
  close(pipe_handles[1]);
}

TEST(ChildProcess, HasAProcessGroupOfItsOwn) {
  ChildProcess child = StartShell("sleep 60 & wait");
  EXPECT_EQ(getpgid(child.pid()), child.pid());
  EXPECT_EQ(child.Poll(), std::nullopt);
  child.SignalGroup(SIGKILL);
  EXPECT_EQ(child.WaitFor(seconds(10)), 128 + SIGKILL);
}

TEST(ChildProcess, KnowsItsStartTime) {
  ChildProcess child = StartShell("sleep 60");
  EXPECT_EQ(ProcessStartTime(child.pid()), child.start_time());
  child.End(seconds(10));
  EXPECT_EQ(ProcessStartTime(child.pid()), std::nullopt);
}

TEST(ChildProcess, EndsOneThatIgnoresTerm) {
  const auto log = FreshFile("stubborn");
  ChildProcess child = StartShell("trap '' TERM; echo ready; while :; do sleep 60; done", log);
  while (TextOf(log).empty()) child.WaitFor(std::chrono::milliseconds(5));
  EXPECT_EQ(child.End(std::chrono::milliseconds(50)), 128 + SIGKILL);
}

TEST(ChildProcess, SaysWhichProgramIsMissing) {
  const auto child = ChildProcess::Start({.argv = {"ferment-no-such-program"}});
  ASSERT_FALSE(child);
  EXPECT_EQ(ProcessExitCode(child.error()), exit_code::kMissingService);
  EXPECT_THAT(std::string(child.error().message()), HasSubstr("ferment-no-such-program"));
}

}  // namespace
}  // namespace ferment::event
