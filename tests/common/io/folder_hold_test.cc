// SPDX-License-Identifier: Apache-2.0
#include "common/io/folder_hold.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace ferment::io {
namespace {

namespace fs = std::filesystem;

class FolderHoldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("hold_" + std::to_string(getpid())) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
  }
  ~FolderHoldTest() override { fs::remove_all(folder_.parent_path()); }

  void ExpectRefused(const std::string& owner, const std::string& holder) const {
    const auto hold = FolderHold::Take(folder_, owner);
    ASSERT_FALSE(hold);
    EXPECT_EQ(ProcessExitCode(hold.error()), exit_code::kFenced);
    const std::string message(hold.error().message());
    EXPECT_NE(message.find("path=" + folder_.string() + " "), std::string::npos) << message;
    EXPECT_NE(message.find(holder), std::string::npos) << message;
  }

  fs::path folder_;
};

TEST_F(FolderHoldTest, IsOneOwnersUntilItIsGivenUp) {
  EXPECT_FALSE(HolderOf(folder_));
  {
    const auto first = FolderHold::Take(folder_, "tr-1@5");
    ASSERT_TRUE(first) << first.error().message();
    ExpectRefused("tr-1@6", "run=tr-1@5 ");
    ExpectRefused("tr-1@6", "pid=" + std::to_string(getpid()) + ";");
    const auto holder = HolderOf(folder_);
    ASSERT_TRUE(holder);
    EXPECT_EQ(holder->owner, "tr-1@5");
    EXPECT_EQ(holder->pid, getpid());
    EXPECT_TRUE(holder->on_this_host);
  }
  EXPECT_FALSE(HolderOf(folder_));
  const auto second = FolderHold::Take(folder_, "tr-1@6");
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(HolderOf(folder_)->owner, "tr-1@6");
}

TEST_F(FolderHoldTest, OneThatTakesTheSameRunOverHoldsItBesideAndAfterTheOneThatIsStopped) {
  std::optional<FolderHold> stopped;
  auto hold = FolderHold::Take(folder_, "tr-1@5");
  ASSERT_TRUE(hold);
  stopped.emplace(std::move(*hold));
  const auto leads = FolderHold::Take(folder_, "tr-1@5");
  ASSERT_TRUE(leads) << leads.error().message();
  ExpectRefused("tr-1@6", "run=tr-1@5 ");
  stopped.reset();
  ExpectRefused("tr-1@6", "run=tr-1@5 ");
}

TEST_F(FolderHoldTest, GoesWithTheProcess) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto hold = FolderHold::Take(folder_, "tr-1@5");
    const char word = hold ? 'y' : 'n';
    if (write(ready[1], &word, 1) == 1) pause();
    _exit(0);
  }
  char word = 'n';
  ASSERT_EQ(read(ready[0], &word, 1), 1);
  EXPECT_EQ(word, 'y');
  ExpectRefused("tr-1@6", "pid=" + std::to_string(child) + ";");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(FolderHold::Take(folder_, "tr-1@6"));
}

TEST_F(FolderHoldTest, IsNotTakenFromALiveCommandButByItsOwnCoordinator) {
  fs::create_directories(folder_);
  const int command = open((folder_ / kCommandLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(command, 0);
  ASSERT_EQ(flock(command, LOCK_EX | LOCK_NB), 0);
  std::ofstream(folder_ / kCommandLock) << getpid() << "\n";
  ExpectRefused("tr-1@5", "a live `ferment run` has this folder");
  std::ofstream(folder_ / kCommandLock) << getppid() << "\n";
  EXPECT_TRUE(FolderHold::Take(folder_, "tr-1@5"));
  std::ofstream(folder_ / kCommandLock) << getpid() << "\n";
  close(command);
  EXPECT_TRUE(FolderHold::Take(folder_, "tr-1@5")) << "it is gone";
}

TEST_F(FolderHoldTest, WhatIsWrittenThereByNobodyWhoHoldsItMeansNothing) {
  fs::create_directories(folder_);
  for (const char* text : {"", "[]", "{\"owner\": 5, \"host\": [], \"pid\": \"x\"}\n",
                           "{\"owner\": \"tr-1@4\", \"host\": \"h\", \"pid\": 1}\n", "\x80\x81 not json"}) {
    std::ofstream(folder_ / kCoordinatorLock) << text;
    EXPECT_FALSE(HolderOf(folder_));
    EXPECT_TRUE(FolderHold::Take(folder_, "tr-1@5")) << text;
  }
}

}  // namespace
}  // namespace ferment::io
