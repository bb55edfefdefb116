// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "tests/support/disk_faults.h"
#include "tests/support/tensorboard_reader.h"
#include "tests/worker/train/trainer_job_test.h"

namespace ferment::worker {
namespace {

using testing::DiskFaults;
using testing::ReadTensorboard;
using testing::RecordedRunClient;
using testing::ScalarsOfCurve;
using testing::ScriptedRecipe;

/// Jobs of six steps, and what TensorBoard shows of them.
class TensorboardTrainingTest : public TrainerJobTest {
 protected:
  std::filesystem::path Folder(const std::string& run) const { return Layout(run).Tensorboard("teacher"); }
  /// Trains a job of which nothing but TensorBoard's files may differ from one that nothing disturbs.
  void ExpectToTrain(const std::string& run, const ScriptedRecipe::Script& script = {}) {
    RecordedRunClient client;
    ScriptedRecipe recipe(script);
    ::testing::internal::CaptureStderr();
    const Status status = Train(run, recipe, client);
    const std::string log = ::testing::internal::GetCapturedStderr();
    ASSERT_TRUE(status.ok()) << status.ToString();
    if (digest_.empty()) digest_ = UndisturbedDigest();
    EXPECT_EQ(client.completed.at(0).models.at(0).sha256, digest_);
    EXPECT_EQ(CurveSteps(run), (std::vector<int>{0, 1, 2, 3, 4, 5}));
    const std::size_t told = log.find("tensorboard_not_written");
    warned_ = told != std::string::npos;
    EXPECT_TRUE(!warned_ || log.find("tensorboard_not_written", told + 1) == std::string::npos) << log;
  }

  std::string digest_;
  bool warned_ = false;
};

TEST_F(TensorboardTrainingTest, AJobsFolderHoldsItsCurve) {
  RecordedRunClient client;
  ScriptedRecipe recipe({.nonfinite = {2}, .figures = {.values = {{"macro_f1", 0.5}, {"lr", 0.1}, {"h", 0}}}});
  ASSERT_TRUE(Train("run", recipe, client).ok());
  const auto shown = ReadTensorboard(Folder("run"));
  EXPECT_EQ(shown, ScalarsOfCurve(Layout("run").Curve("teacher")));
  EXPECT_EQ(shown.at("loss/loss").size(), 5U);
  EXPECT_EQ(shown.at("validation/macro_f1").size(), 6U);
}

TEST_F(TensorboardTrainingTest, AJobThatDiedAndGoesOnShowsEachStepOnce) {
  RecordedRunClient client;
  ScriptedRecipe first(
      {.before = [](std::uint64_t step) { return step == 5 ? UnavailableError("the machine went away") : Status(); }});
  EXPECT_FALSE(Train("run", first, client, {.checkpoint_every = 3}).ok());
  EXPECT_EQ(ReadTensorboard(Folder("run")).at("loss/loss").size(), 5U);
  // Steps 3 and 4 are made again, with other figures.
  ScriptedRecipe second({.figures = {.values = {{"h", 1}}}});
  EXPECT_TRUE(Train("run", second, client).ok());
  EXPECT_EQ(second.restored_at, 3U);
  const auto shown = ReadTensorboard(Folder("run"));
  EXPECT_EQ(shown, ScalarsOfCurve(Layout("run").Curve("teacher")));
  EXPECT_EQ(shown.at("loss/loss").size(), 6U);
  EXPECT_EQ(shown.at("feedback/h").size(), 3U);
  EXPECT_EQ(testing::TensorboardFiles(Folder("run")).size(), 2U);
}

TEST_F(TensorboardTrainingTest, WhateverCallOfTheDiskFailsTheJobTrainsAsIfNothingHadHappened) {
  int warned = 0;
  for (const auto kind : {DiskFaults::Kind::kFail, DiskFaults::Kind::kFailFrom, DiskFaults::Kind::kShort}) {
    for (int call = 1;; ++call) {
      const std::string run = "run-" + std::to_string(static_cast<int>(kind)) + "-" + std::to_string(call);
      SCOPED_TRACE(run);
      bool happened = false;
      {
        const DiskFaults faults(Folder(run), kind, call, call % 2 == 0 ? ENOSPC : EIO);
        ExpectToTrain(run);
        happened = faults.happened();
      }
      const auto curve = ScalarsOfCurve(Layout(run).Curve("teacher")).at("loss/loss");
      const auto shown = ReadTensorboard(Folder(run))["loss/loss"];
      for (const auto& [step, value] : shown) EXPECT_EQ(curve.at(step), value);
      if (warned_) ++warned;
      if (!happened) break;
    }
  }
  EXPECT_GT(warned, 8);
}

TEST_F(TensorboardTrainingTest, AFolderThatCannotBeMadeCostsOneWarning) {
  std::filesystem::create_directories(Layout("run").root());
  std::ofstream(Layout("run").root() / "tensorboard");
  ExpectToTrain("run");
  EXPECT_TRUE(warned_);
}

TEST_F(TensorboardTrainingTest, StepsGoOnWhileTheDiskStandsStill) {
  DiskFaults faults(Folder("run"), DiskFaults::Kind::kHold, 1);
  ExpectToTrain("run", {.before = [&](std::uint64_t step) {
                  if (step == 5) {
                    EXPECT_TRUE(ReadTensorboard(Folder("run")).empty());
                    faults.Release();
                  }
                  return Status();
                }});
  EXPECT_EQ(ReadTensorboard(Folder("run")), ScalarsOfCurve(Layout("run").Curve("teacher")));
  EXPECT_FALSE(warned_);
}

}  // namespace
}  // namespace ferment::worker
