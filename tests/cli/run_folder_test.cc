// SPDX-License-Identifier: Apache-2.0
#include "cli/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "common/config/spec_defaults.h"
#include "common/event/process_record.h"
#include "common/io/folder_hold.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class RunFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("folder_" + std::to_string(getpid())) /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
  }

  static RunSpec Spec(std::uint32_t steps) {
    RunSpec spec = DefaultSpec();
    spec.set_name("t");
    spec.mutable_cotrain()->set_steps(steps);
    return spec;
  }

  fs::path root_;
};

TEST_F(RunFolderTest, IsHeldByOneAtATime) {
  {
    const auto first = RunFolder::Open(root_);
    ASSERT_TRUE(first) << first.error().message();
    const auto second = RunFolder::Open(root_);
    ASSERT_FALSE(second);
    EXPECT_EQ(ProcessExitCode(second.error()), exit_code::kFenced);
    EXPECT_THAT(std::string(second.error().message()), HasSubstr("pid=" + std::to_string(getpid())));
  }
  EXPECT_TRUE(RunFolder::Open(root_));
}

TEST_F(RunFolderTest, IsNotTakenFromALiveCoordinator) {
  {
    const auto hold = io::FolderHold::Take(root_, "tr-1@5");
    ASSERT_TRUE(hold);
    const auto folder = RunFolder::Open(root_);
    ASSERT_TRUE(folder);
    const Status refused = folder->CheckNoCoordinatorRuns();
    EXPECT_EQ(ProcessExitCode(refused), exit_code::kFenced);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("path=" + root_.string() + " run=tr-1@5 "));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("pid=" + std::to_string(getpid())));
  }
  EXPECT_TRUE(RunFolder::Open(root_)->CheckNoCoordinatorRuns().ok());
}

TEST_F(RunFolderTest, IsTakenFromACoordinatorThatAKilledCommandLeftBehind) {
  ASSERT_TRUE(RunFolder::Open(root_)) << "the command's own";
  const auto hold = io::FolderHold::Take(root_, "tr-1@5");
  ASSERT_TRUE(hold);
  const auto start_time = event::ProcessStartTime(getpid());
  ASSERT_TRUE(start_time);
  const auto processes = RunLayout(root_).Processes();
  ASSERT_TRUE(event::WriteProcessRecord(processes, {"coordinator", getpid(), *start_time + 1, "x"}).ok());
  EXPECT_FALSE(RunFolder::Open(root_)->CheckNoCoordinatorRuns().ok()) << "the record is of an earlier process";
  ASSERT_TRUE(event::WriteProcessRecord(processes, {"coordinator", getpid(), *start_time, "x"}).ok());
  EXPECT_TRUE(RunFolder::Open(root_)->CheckNoCoordinatorRuns().ok());
}

TEST_F(RunFolderTest, IsNotAnyFolder) {
  fs::create_directories(root_);
  std::ofstream(root_ / "thesis.tex") << "years of work";
  const auto folder = RunFolder::Open(root_);
  ASSERT_FALSE(folder);
  EXPECT_EQ(ProcessExitCode(folder.error()), exit_code::kCannotWrite);
  EXPECT_TRUE(fs::exists(root_ / "thesis.tex"));
}

/// A trainer that is started by hand leaves its lock wherever a mistyped --run-dir leads.
TEST_F(RunFolderTest, IsNotProvedByALockAlone) {
  { ASSERT_TRUE(io::FolderHold::Take(root_, "teacher-by-hand-1")); }
  EXPECT_TRUE(RunFolder::Open(root_)) << "nothing else is in it";
  fs::remove(root_ / io::kCommandLock);
  std::ofstream(root_ / "thesis.txt") << "mine\n";
  const auto folder = RunFolder::Open(root_);
  ASSERT_FALSE(folder);
  EXPECT_EQ(ProcessExitCode(folder.error()), exit_code::kCannotWrite);
}

TEST_F(RunFolderTest, CannotBeMadeBelowAFile) {
  fs::create_directories(root_);
  std::ofstream(root_ / "file") << "x";
  EXPECT_EQ(ProcessExitCode(RunFolder::Open(root_ / "file" / "run").error()), exit_code::kCannotWrite);
}

TEST_F(RunFolderTest, KeepsTheFirstSpecAndNamesWhatDiffers) {
  auto folder = RunFolder::Open(root_);
  ASSERT_TRUE(folder);
  ASSERT_TRUE(KeepSpec(folder->layout(), Spec(600)).ok());
  EXPECT_TRUE(KeepSpec(folder->layout(), Spec(600)).ok());
  const Status changed = KeepSpec(folder->layout(), Spec(50));
  EXPECT_EQ(ProcessExitCode(changed), exit_code::kBadSpec);
  EXPECT_THAT(std::string(changed.message()), HasSubstr("cotrain.steps: 600 -> 50"));
  EXPECT_THAT(std::string(changed.message()), HasSubstr("--fresh"));
}

TEST_F(RunFolderTest, DeletesOnlyWhatARunWrites) {
  auto folder = RunFolder::Open(root_);
  ASSERT_TRUE(folder);
  ASSERT_TRUE(KeepSpec(folder->layout(), Spec(600)).ok());
  fs::create_directories(folder->layout().Job("teacher"));
  std::ofstream(root_ / "notes.txt") << "mine";
  ASSERT_TRUE(folder->DeleteRun().ok());
  EXPECT_FALSE(fs::exists(root_ / "phases"));
  EXPECT_FALSE(fs::exists(root_ / "spec.yaml"));
  EXPECT_TRUE(fs::exists(root_ / "notes.txt"));
  EXPECT_TRUE(KeepSpec(folder->layout(), Spec(50)).ok());
}

TEST_F(RunFolderTest, DeletesNothingWhereSomebodyKeepsASpecOfTheirOwn) {
  fs::create_directories(root_ / "labels");
  std::ofstream(root_ / "labels" / "by_hand.csv") << "mine";
  std::ofstream(root_ / "spec.yaml") << "# mine\nname: t\n";
  auto folder = RunFolder::Open(root_);
  ASSERT_TRUE(folder);
  const Status refused = folder->DeleteRun();
  EXPECT_EQ(ProcessExitCode(refused), exit_code::kCannotWrite) << refused.message();
  EXPECT_TRUE(fs::exists(root_ / "labels" / "by_hand.csv"));
  EXPECT_TRUE(fs::exists(root_ / "spec.yaml"));
  std::ofstream(root_ / "phases.json") << "{}";
  EXPECT_TRUE(folder->DeleteRun().ok()) << "of a run, whatever wrote its spec";
}

TEST(CheckDataExists, NamesEverythingThatIsMissing) {
  RunSpec spec;
  spec.mutable_data()->add_fer()->set_path("/no/fer");
  spec.mutable_data()->mutable_fr()->set_path("/no/fr");
  spec.mutable_data()->mutable_videos()->set_path(testing::TempDir());
  const Status status = CheckDataExists(spec);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kBadData);
  EXPECT_THAT(std::string(status.message()), HasSubstr("data.fer.path: /no/fer"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("data.fr.path: /no/fr"));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("data.videos")));
}

TEST(CheckDataExists, ReadsTheTruthThatTheReportWillNeed) {
  const auto file = fs::path(::testing::TempDir()) / "truth.csv";
  RunSpec spec;
  for (const char* name : {"calm", "glad"}) spec.add_classes(name);
  spec.mutable_labeling()->set_truth(file.string());
  std::ofstream(file) << "key,class\n1,0\n2,1\n";
  EXPECT_TRUE(CheckDataExists(spec).ok());
  std::ofstream(file) << "key,class\n1,0\n2,2\n";
  const Status status = CheckDataExists(spec);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kBadData);
  EXPECT_THAT(std::string(status.message()), HasSubstr("labeling.truth: class 2 is not in -1..1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("line=3"));
  spec.mutable_labeling()->set_truth(::testing::TempDir());
  EXPECT_EQ(ProcessExitCode(CheckDataExists(spec)), exit_code::kBadData) << "a folder";
}

}  // namespace
}  // namespace ferment::cli
