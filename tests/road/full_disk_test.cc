// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include "common/event/process_record.h"
#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

/// Folders of the run that are small file systems of their own.
class FullDisk : public RoadTest {
 protected:
  void TearDown() override {
    (void)event::EndOrphans(run_dir() / "processes");
    for (const auto& folder : mounted_) umount2(folder.c_str(), MNT_DETACH);
    RoadTest::TearDown();
  }
  /// Returns: whether this user may mount.
  bool Mount(const std::filesystem::path& folder, const char* size) {
    std::filesystem::create_directories(folder);
    if (mount("tmpfs", folder.c_str(), "tmpfs", 0, (std::string("size=") + size).c_str()) != 0) return false;
    mounted_.push_back(folder);
    return true;
  }
  static void Grow(const std::filesystem::path& folder) {
    ASSERT_EQ(mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT, "size=256m"), 0) << std::strerror(errno);
  }
  /// A full disk is told in bounded time, with its code, the file, and what to do.
  void ExpectFull(const std::filesystem::path& named) {
    const auto begin = std::chrono::steady_clock::now();
    const Outcome outcome = Run(RunCommand());
    EXPECT_EQ(outcome.exit_code, 204) << outcome.output;
    EXPECT_NE(outcome.output.find(named.string()), std::string::npos) << outcome.output;
    EXPECT_NE(outcome.output.find("free"), std::string::npos) << outcome.output;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
    ExpectNoProcessLeft();
  }

 private:
  std::vector<std::filesystem::path> mounted_;
};

TEST_F(FullDisk, OfCheckpointsThenOfLabelsEndsTheRunWith204AndTheSameCommandContinues) {
  event::ChildProcess first = Start(RunCommand());  // it makes the folder a run's
  ASSERT_TRUE(WaitUntil(first, [&] { return std::filesystem::exists(run_dir() / "spec.yaml"); }));
  first.Signal(SIGKILL);
  (void)Wait(first);
  const auto phases = run_dir() / "phases";
  const auto labels = run_dir() / "labels";
  if (!Mount(phases, "3m") || !Mount(labels, "4k")) GTEST_SKIP() << "may not mount: " << std::strerror(errno);
  ExpectFull(phases / "teacher");
  EXPECT_TRUE(HasCheckpoint("teacher"));
  Grow(phases);
  ExpectFull(labels);
  const auto teacher_written = std::filesystem::last_write_time(phases / "teacher/result.json");
  Grow(labels);
  const Outcome outcome = Run(RunCommand());
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  ExpectFinishedRun();
  EXPECT_EQ(std::filesystem::last_write_time(phases / "teacher/result.json"), teacher_written);
}

TEST_F(FullDisk, OfTheWholeRunEndsItWith204AndTheSameCommandContinues) {
  if (!Mount(run_dir(), "64m")) GTEST_SKIP() << "may not mount: " << std::strerror(errno);
  event::ChildProcess run = Start(RunCommand({"--set", "teacher.steps=60"}));
  ASSERT_TRUE(WaitUntil(run, [&] { return HasCheckpoint("teacher"); }));
  {
    std::ofstream filler(run_dir() / "filler");
    const std::string block(4096, 'x');
    while (filler << block << std::flush) {
    }
  }
  const Outcome full = Wait(run);
  EXPECT_EQ(full.exit_code, 204) << full.output;
  EXPECT_NE(full.output.find(run_dir().string()), std::string::npos) << full.output;
  EXPECT_NE(full.output.find("free"), std::string::npos) << full.output;
  EXPECT_TRUE(HasCheckpoint("teacher"));
  ExpectNoProcessLeft();
  std::filesystem::remove(run_dir() / "filler");
  const Outcome outcome = Run(RunCommand({"--set", "teacher.steps=60"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(outcome.output.find("left no word"), std::string::npos) << outcome.output;
  ExpectFinishedRun();
}

}  // namespace
}  // namespace ferment::road
