// SPDX-License-Identifier: Apache-2.0
#include "common/event/process_record.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "common/event/child_process.h"

namespace ferment::event {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ProcessRecordTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("records_" + std::to_string(getpid())) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
  }

  static ChildProcess StartShell(const std::string& script) {
    auto child = ChildProcess::Start({.argv = {"sh", "-c", script}});
    EXPECT_TRUE(child) << child.error().message();
    return std::move(*child);
  }

  Status Record(const std::string& role, const ChildProcess& child, std::uint64_t start_time) {
    return WriteProcessRecord(folder_, {role, child.pid(), start_time, "sh", "run/teacher/1"});
  }

  std::filesystem::path folder_;
};

TEST_F(ProcessRecordTest, ComesBackAsItWasWritten) {
  const ProcessRecord record{"trainer", 4242, 17, "/usr/bin/mpirun", "run/teacher/1"};
  ASSERT_TRUE(WriteProcessRecord(folder_, record).ok());
  const auto records = ReadProcessRecords(folder_);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].role, "trainer");
  EXPECT_EQ(records[0].pid, 4242);
  EXPECT_EQ(records[0].start_time, 17U);
  EXPECT_EQ(records[0].program, "/usr/bin/mpirun");
  EXPECT_EQ(records[0].job, "run/teacher/1");
  RemoveProcessRecord(folder_, record);
  EXPECT_TRUE(ReadProcessRecords(folder_).empty());
}

TEST_F(ProcessRecordTest, SkipsTornAndForeignFiles) {
  std::filesystem::create_directories(folder_);
  std::ofstream(folder_ / "labeler-1.json") << "{\"role\": \"lab";
  std::ofstream(folder_ / "labeler-2.json") << R"({"role": 3})";
  std::ofstream(folder_ / "labeler-3.json") << R"({"role": "labeler", "pid": -1, "start_time": 0, "program": "x"})";
  EXPECT_TRUE(ReadProcessRecords(folder_).empty());
  EXPECT_EQ(EndOrphans(folder_), 0);
}

TEST_F(ProcessRecordTest, EndsAnOrphanAndForgetsIt) {
  ChildProcess child = StartShell("exec sleep 60");
  ASSERT_TRUE(Record("labeler", child, child.start_time()).ok());
  EXPECT_EQ(EndOrphans(folder_), 1);
  EXPECT_EQ(child.WaitFor(seconds(10)), 128 + SIGTERM);
  EXPECT_TRUE(ReadProcessRecords(folder_).empty());
}

TEST_F(ProcessRecordTest, AsksATrainerToSaveACheckpointFirst) {
  ChildProcess child = StartShell("exec sleep 60");
  ASSERT_TRUE(Record("trainer", child, child.start_time()).ok());
  EXPECT_EQ(EndOrphans(folder_), 1);
  EXPECT_EQ(child.WaitFor(seconds(10)), 128 + SIGUSR2);
}

TEST_F(ProcessRecordTest, KillsWhatDoesNotListen) {
  const auto deaf = folder_ / "deaf";
  std::filesystem::create_directories(folder_);
  ChildProcess child = StartShell("trap '' TERM; : >" + deaf.string() + "; while :; do sleep 1; done");
  while (!std::filesystem::exists(deaf)) std::this_thread::yield();
  ASSERT_TRUE(Record("coordinator", child, child.start_time()).ok());
  kill(child.pid(), SIGSTOP);
  EXPECT_EQ(EndOrphans(folder_, {}, milliseconds(500)), 1);
  EXPECT_EQ(child.WaitFor(seconds(10)), 128 + SIGKILL);
}

TEST_F(ProcessRecordTest, LeavesAStrangerAloneThatHasThePidNow) {
  ChildProcess child = StartShell("exec sleep 60");
  ASSERT_TRUE(Record("labeler", child, child.start_time() + 1).ok());
  EXPECT_EQ(EndOrphans(folder_), 0);
  EXPECT_EQ(child.Poll(), std::nullopt);
  EXPECT_TRUE(ReadProcessRecords(folder_).empty());
  child.End(seconds(10));
}

}  // namespace
}  // namespace ferment::event
