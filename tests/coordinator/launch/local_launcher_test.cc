// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/local_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "common/config/run_layout.h"
#include "common/event/process_record.h"
#include "common/io/folder_claim.h"

namespace ferment::coordinator {
namespace {

using Kind = LaunchState::Kind;
using testing::HasSubstr;

/// Stands in for mpirun: announces itself, then does what the test wrote into it.
class LocalLauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    run_dir_ = std::filesystem::path(testing::TempDir()) / ("launcher_" + std::to_string(getpid())) /
               testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(run_dir_);
    std::filesystem::create_directories(run_dir_);
    log_ = RunLayout(run_dir_).Log("teacher");
  }

  LaunchRequest Request(const std::string& script) {
    const auto mpirun = run_dir_ / "mpirun";
    std::ofstream(mpirun) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(mpirun, std::filesystem::perms::owner_all);
    return {.key = {"run", "teacher", 1},
            .argv = {mpirun.string(), "-np", "2"},
            .rank_program = "/bin/true",
            .env = {{"OMP_NUM_THREADS", "3"}},
            .log_file = log_,
            .run_dir = run_dir_};
  }

  LaunchState AwaitEnd(Launcher& launcher, const LaunchKey& key) {
    for (;;) {
      const LaunchState state = launcher.Poll(key, run_dir_);
      if (state.kind != Kind::kRunning) return state;
      std::this_thread::yield();
    }
  }

  std::string LogText() const {
    std::ifstream stream(log_);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
  }

  void AwaitLog(const std::string& text) const {
    while (LogText().find(text) == std::string::npos) std::this_thread::yield();
  }

  std::filesystem::path run_dir_;
  std::filesystem::path log_;
  std::unique_ptr<Launcher> launcher_ = MakeLocalLauncher();
};

TEST_F(LocalLauncherTest, TellsHowTheJobEnded) {
  const LaunchRequest request = Request("echo args $* threads $OMP_NUM_THREADS; exit 203");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  const LaunchState end = AwaitEnd(*launcher_, request.key);
  EXPECT_EQ(end.kind, Kind::kExited);
  EXPECT_EQ(end.exit_code, 203);
  EXPECT_EQ(LogText(), "args -np 2 threads 3\n");
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).exit_code, 203);
  EXPECT_TRUE(event::ReadProcessRecords(RunLayout(run_dir_).Processes()).empty());
}

TEST_F(LocalLauncherTest, HoldsNoFileOfAJobThatHasEnded) {
  const auto files = [] {
    const std::filesystem::directory_iterator open("/proc/self/fd");
    return std::distance(begin(open), end(open));
  };
  const auto before = files();
  LaunchRequest request = Request("exit 0");
  for (; request.key.attempt <= 5; ++request.key.attempt) {
    ASSERT_TRUE(launcher_->Launch(request).ok());
    EXPECT_EQ(AwaitEnd(*launcher_, request.key).kind, Kind::kExited);
  }
  EXPECT_EQ(files(), before);
}

TEST_F(LocalLauncherTest, TellsHowTheLastThousandJobsEnded) {
  LaunchRequest request = Request("exit 3");
  for (; request.key.attempt <= 1'001; ++request.key.attempt) {
    ASSERT_TRUE(launcher_->Launch(request).ok());
    EXPECT_EQ(AwaitEnd(*launcher_, request.key).kind, Kind::kExited);
  }
  request.key.attempt = 2;
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).exit_code, 3);
  request.key.attempt = 1;
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kUnknown);
}

TEST_F(LocalLauncherTest, KnowsNothingOfAJobThatWasNeverLaunched) {
  EXPECT_EQ(launcher_->Poll({"run", "teacher", 9}, run_dir_).kind, Kind::kUnknown);
  EXPECT_EQ(launcher_->Signal({"run", "teacher", 9}, run_dir_, SIGUSR2).code(), StatusCode::kNotFound);
}

TEST_F(LocalLauncherTest, NeverStartsOneKeyTwice) {
  const LaunchRequest request = Request("echo started; trap 'exit 0' USR2; while :; do sleep 0.01; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  AwaitLog("started");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGUSR2).ok());
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).exit_code, 0);
  EXPECT_EQ(LogText(), "started\n");
}

TEST_F(LocalLauncherTest, HandsSignalsToMpirunAndKillsItsGroup) {
  const LaunchRequest request =
      Request("trap 'echo saved' USR1; trap 'exit 143' USR2; echo ready; while :; do sleep 0.01; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  AwaitLog("ready");
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGUSR1).ok());
  AwaitLog("saved");
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGUSR2).ok());
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).exit_code, 143);
}

TEST_F(LocalLauncherTest, FindsAJobThatOutlivedItsCoordinator) {
  const LaunchRequest request = Request("trap 'exit 0' USR2; echo ready; while :; do sleep 0.01; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  AwaitLog("ready");
  const auto restarted = MakeLocalLauncher();
  EXPECT_EQ(restarted->Poll(request.key, run_dir_).kind, Kind::kRunning);
  ASSERT_TRUE(restarted->Launch(request).ok());
  EXPECT_EQ(LogText(), "ready\n");
  ASSERT_TRUE(restarted->Signal(request.key, run_dir_, SIGUSR2).ok());
  EXPECT_EQ(AwaitEnd(*restarted, request.key).kind, Kind::kUnknown);
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).exit_code, 0);
}

TEST_F(LocalLauncherTest, OfAJobThatLeftNoTraceItTellsWhetherItsWriterHasEnded) {
  const LaunchKey key{"run", "teacher", 1};
  const auto folder = RunLayout(run_dir_).Job("teacher");
  std::filesystem::create_directories(folder);
  {
    const auto writer = io::FolderClaim::Take(folder, 7);
    EXPECT_EQ(launcher_->Poll(key, run_dir_).ended_token, 0U);
  }
  const LaunchState state = launcher_->Poll(key, run_dir_);
  EXPECT_EQ(state.kind, Kind::kUnknown);
  EXPECT_EQ(state.ended_token, 7U);
}

TEST_F(LocalLauncherTest, LeavesAJobOfTheSameNameFromAnotherStoreAlone) {
  LaunchRequest request = Request("trap 'exit 0' USR2; echo ready; while :; do sleep 0.01; done");
  request.key.submitted_ms = 5;
  ASSERT_TRUE(launcher_->Launch(request).ok());
  AwaitLog("ready");
  LaunchKey other = request.key;
  other.submitted_ms = 6;
  const auto second = MakeLocalLauncher();
  EXPECT_EQ(second->Poll(other, run_dir_).kind, Kind::kUnknown);
  EXPECT_EQ(second->Signal(other, run_dir_, SIGUSR2).code(), StatusCode::kNotFound);
  EXPECT_EQ(second->Poll(request.key, run_dir_).kind, Kind::kRunning);
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGUSR2).ok());
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).exit_code, 0);
}

TEST_F(LocalLauncherTest, SaysWhatToInstallWithoutMpirun) {
  LaunchRequest request = Request("true");
  request.argv[0] = (run_dir_ / "absent" / "mpirun").string();
  const Status status = launcher_->Launch(request);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService);
  EXPECT_THAT(std::string(status.message()), HasSubstr("openmpi-bin"));
}

TEST_F(LocalLauncherTest, NamesAMissingTrainerBeforeMpirunIsStarted) {
  LaunchRequest request = Request("echo started");
  request.rank_program = (run_dir_ / "absent" / "ferment-trainer").string();
  const Status status = launcher_->Launch(request);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService);
  EXPECT_THAT(std::string(status.message()), HasSubstr("absent/ferment-trainer; give ferment-coordinator --trainer"));
  EXPECT_FALSE(std::filesystem::exists(log_));
}

}  // namespace
}  // namespace ferment::coordinator
