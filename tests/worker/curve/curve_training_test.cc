// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <thread>

#include "common/io/folder_claim.h"
#include "tests/support/disk_faults.h"
#include "tests/worker/train/trainer_job_test.h"
#include "worker/train/checkpoint_folder.h"

namespace ferment::worker {
namespace {

using testing::DiskFaults;
using testing::RecordedRunClient;
using testing::ScriptedRecipe;

const std::vector<int> kAll = {0, 1, 2, 3, 4, 5};

/// Jobs of six steps, and what becomes of their curve.
class CurveTrainingTest : public TrainerJobTest {
 protected:
  std::filesystem::path Logs(const std::string& run) const { return Layout(run).Curve("teacher").parent_path(); }
  /// Trains a job of which nothing but the curve may differ from one that nothing disturbs. Returns: what is logged.
  std::string ExpectToTrain(const std::string& run, const ScriptedRecipe::Script& script = {}) {
    RecordedRunClient client;
    ScriptedRecipe recipe(script);
    ::testing::internal::CaptureStderr();
    const Status status = Train(run, recipe, client);
    const std::string log = ::testing::internal::GetCapturedStderr();
    EXPECT_TRUE(status.ok()) << status.ToString();
    if (!status.ok()) return log;
    if (digest_.empty()) digest_ = UndisturbedDigest();
    EXPECT_EQ(client.completed.at(0).models.at(0).sha256, digest_);
    return log;
  }
  /// So much of the disk's time passes.
  void WriteCheckpoints(int count) const {
    const auto folder = folder_ / "meanwhile";
    std::filesystem::create_directories(folder);
    const auto claim = *io::FolderClaim::Take(folder, 1);
    RecipeState state;
    state.scalars = Json::object();
    state.tensors["net"] = {{"weights", torch::zeros({4})}};
    for (int i = 0; i < count; ++i)
      EXPECT_TRUE(CheckpointFolder(folder).Save(static_cast<std::uint64_t>(i), state, 2, claim).ok());
  }

  std::string digest_;
};

TEST_F(CurveTrainingTest, StepsGoOnWhileTheDiskStandsStillAndNoCheckpointIsThereBeforeTheRowsThatItCounts) {
  DiskFaults faults(Logs("run"), DiskFaults::Kind::kHold, 1);
  const std::string log = ExpectToTrain("run", {.before = [&](std::uint64_t step) {
                                          if (step != 5) return Status();
                                          WriteCheckpoints(20);
                                          EXPECT_FALSE(HasCheckpoint("run", 2));
                                          faults.Release();
                                          return Status();
                                        }});
  EXPECT_EQ(CurveSteps("run"), kAll);
  EXPECT_EQ(log.find("curve_"), std::string::npos) << log;
}

TEST_F(CurveTrainingTest, ADiskThatStandsStillToTheEndCostsTheJobItsCurveAndNothingElse) {
  DiskFaults faults(Logs("run"), DiskFaults::Kind::kHold, 1);
  const std::string log = ExpectToTrain("run");
  EXPECT_NE(log.find("curve_incomplete"), std::string::npos) << log;
  EXPECT_NE(log.find("steps_left_out=6"), std::string::npos) << log;
  EXPECT_TRUE(HasCheckpoint("run", 6));
  faults.Release();
  // The thread is still there, and writes what it had begun to.
  while (CurveSteps("run").empty()) std::this_thread::yield();
}

TEST_F(CurveTrainingTest, AFullDiskCostsOneWarningAndRowsGoOnOnceThereIsRoom) {
  std::optional<DiskFaults> faults;
  faults.emplace(Logs("run"), DiskFaults::Kind::kFailFrom, 1, ENOSPC);
  const std::string log = ExpectToTrain("run", {.before = [&](std::uint64_t step) {
                                          if (step != 3) return Status();
                                          // That checkpoint waits for what becomes of the rows before it.
                                          while (!HasCheckpoint("run", 2)) std::this_thread::yield();
                                          faults.reset();
                                          return Status();
                                        }});
  const std::vector<int> rows = CurveSteps("run");
  ASSERT_FALSE(rows.empty());
  EXPECT_GE(rows.front(), 2);
  EXPECT_EQ(rows.back(), 5);
  const std::size_t told = log.find("curve_not_written");
  ASSERT_NE(told, std::string::npos) << log;
  EXPECT_EQ(log.find("curve_not_written", told + 1), std::string::npos) << log;
  EXPECT_NE(log.find("steps_left_out=" + std::to_string(6 - rows.size())), std::string::npos) << log;
}

TEST_F(CurveTrainingTest, AKillBetweenAnyTwoCallsOfTheDiskLeavesACurveThatTheNextOneCompletes) {
  int killed = 0;
  for (int call = 1;; ++call) {
    const std::string run = "run-" + std::to_string(call);
    SCOPED_TRACE(run);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const DiskFaults faults(Layout(run).root(), DiskFaults::Kind::kKill, call);
      RecordedRunClient client;
      ScriptedRecipe recipe({});
      _exit(Train(run, recipe, client).ok() ? 0 : 1);
    }
    int ended = 0;
    ASSERT_EQ(waitpid(child, &ended, 0), child);
    ExpectToTrain(run);
    EXPECT_EQ(CurveSteps(run), kAll);
    std::filesystem::remove_all(folder_ / run);
    if (WIFEXITED(ended)) {
      EXPECT_EQ(WEXITSTATUS(ended), 0);
      break;
    }
    ASSERT_EQ(WTERMSIG(ended), SIGKILL);
    ++killed;
  }
  EXPECT_GT(killed, 60);
}

}  // namespace
}  // namespace ferment::worker
