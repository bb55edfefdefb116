// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>

#include "common/io/local_file_system.h"
#include "tests/worker/train/trainer_job_test.h"

namespace ferment::worker {
namespace {

using testing::RecordedRunClient;
using testing::ScriptedRecipe;

/// A job that was asked to stop twice, with the checkpoints of steps 2 and 4.
class DamagedCheckpointTest : public TrainerJobTest {
 protected:
  void SetUp() override {
    TrainerJobTest::SetUp();
    StopTwice("run");
  }
  void StopTwice(const std::string& run) const {
    for (const std::uint64_t last : {1U, 3U}) {
      RecordedRunClient client;
      ScriptedRecipe recipe({.before = [&](std::uint64_t step) {
        client.stop = step == last;
        return Status();
      }});
      EXPECT_EQ(Train(run, recipe, client, {}).exit_code(), exit_code::kTerminated);
    }
    ASSERT_TRUE(HasCheckpoint(run, 2) && HasCheckpoint(run, 4));
  }
  std::filesystem::path Step(const std::string& run, int step) const {
    return Layout(run).Checkpoints("teacher") / ("step-" + std::to_string(step));
  }
  Json Manifest(int step) const {
    return ParseJson(io::ReadTextFile(Step("run", step) / "MANIFEST.json").value()).value();
  }
  /// Makes it one of a former version, which had no digest of its own.
  void Write(int step, const Json& manifest) const {
    Json former;
    for (const char* key : {"format", "step", "files", "scalars"}) former[key] = manifest[key];
    std::ofstream(Step("run", step) / "MANIFEST.json") << former.dump(1) << "\n";
  }
  /// Expects that the job goes on from this step to the outcome of one that nothing has disturbed.
  void ExpectToGoOnFrom(std::uint64_t step) const {
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    const Status trained = Train("run", recipe, client);
    ASSERT_TRUE(trained.ok()) << trained.ToString();
    EXPECT_EQ(recipe.restored_at, step);
    EXPECT_EQ(client.completed.at(0).models.at(0).sha256, UndisturbedDigest());
    EXPECT_EQ(client.completed.at(0).last.samples, 6 * 8U);
  }
};

TEST_F(DamagedCheckpointTest, AScalarThatIsAnotherCostsTheStepsSinceTheOneBefore) {
  const auto path = Step("run", 4) / "MANIFEST.json";
  std::string text = io::ReadTextFile(path).value();
  const auto at = text.find("\"samples\": 32");
  ASSERT_NE(at, std::string::npos);
  std::ofstream(path) << text.replace(at, 13, "\"samples\": 92");
  ExpectToGoOnFrom(2);
}

TEST_F(DamagedCheckpointTest, OneOfAFormerVersionIsGoneOnWith) {
  Write(4, Manifest(4));
  ExpectToGoOnFrom(4);
}

TEST_F(DamagedCheckpointTest, OneOfAFormerVersionCountsAsDamagedWhereItsCountsCannotBe) {
  const Json whole = Manifest(4);
  for (const Json& steps : {Json(5), Json(999999999), Json("4"), Json(-4), Json(4.5), Json()}) {
    Json damaged = whole;
    damaged["scalars"]["next_step"] = steps;
    Write(4, damaged);
    SCOPED_TRACE(damaged["scalars"].dump());
    ExpectToGoOnFrom(2);
    std::filesystem::remove(Layout("run").Result("teacher"));
    std::filesystem::remove_all(Layout("run").Checkpoints("teacher"));
    StopTwice("run");
  }
  for (const char* key : {"next_step", "samples", "nonfinite", "recipe"}) {
    Json damaged = whole;
    damaged["scalars"].erase(key);
    damaged["scalars"]["misspelt"] = 4;
    Write(4, damaged);
    SCOPED_TRACE(damaged["scalars"].dump());
    ExpectToGoOnFrom(2);
    std::filesystem::remove(Layout("run").Result("teacher"));
    std::filesystem::remove_all(Layout("run").Checkpoints("teacher"));
    StopTwice("run");
  }
}

TEST_F(DamagedCheckpointTest, OneOfMoreStepsThanTheJobHasIsNotPublishedUntrained) {
  Json damaged = Manifest(4);
  damaged["step"] = damaged["scalars"]["next_step"] = 999999999;
  Write(4, damaged);
  std::filesystem::rename(Step("run", 4), Step("run", 999999999));
  RecordedRunClient client;
  ScriptedRecipe recipe({});
  const Status failed = Train("run", recipe, client);
  EXPECT_EQ(failed.exit_code(), exit_code::kUnreadableState) << failed.ToString();
  EXPECT_NE(failed.message().find(Step("run", 999999999).string()), std::string::npos) << failed.ToString();
  EXPECT_TRUE(client.completed.empty());
}

TEST_F(DamagedCheckpointTest, WhatARecipeCannotGoOnFromLeavesWith78AndIsNamed) {
  for (const Status& unfit : {DataLossError("the checkpoint lacks a network"), InvalidArgumentError("missing fc.bias"),
                              DataLossError("no teacher").WithExitCode(exit_code::kUnreadableState)}) {
    RecordedRunClient client;
    ScriptedRecipe recipe({.unfit = unfit});
    const Status failed = Train("run", recipe, client);
    EXPECT_EQ(ProcessExitCode(failed), exit_code::kUnreadableState) << failed.ToString();
    EXPECT_NE(failed.message().find(Step("run", 4).string()), std::string::npos) << failed.ToString();
    EXPECT_NE(failed.message().find(unfit.message()), std::string::npos) << failed.ToString();
    EXPECT_TRUE(recipe.made.empty());
  }
}

TEST_F(DamagedCheckpointTest, OneOfAnotherSeedOrJobIsNotGoneOnWith) {
  spec_.set_seed(2);
  StopTwice("other");
  spec_.set_seed(1);
  std::filesystem::remove_all(Step("run", 4));
  std::filesystem::copy(Step("other", 4), Step("run", 4));
  ExpectToGoOnFrom(2);
  const auto why = io::ReadTextFile(Layout("run").Checkpoints("teacher") / "step-4.damaged" / "PASSED_OVER.txt");
  ASSERT_TRUE(why) << why.error().ToString();
  EXPECT_NE(why->find("the checkpoint is another job's: job_id=teacher"), std::string::npos) << *why;
}

TEST_F(DamagedCheckpointTest, OneOfAnotherJobOfTheRunIsNotGoneOnWith) {
  Json others = Manifest(4);
  others["scalars"]["job_id"] = "finetune";
  Write(4, others);
  ExpectToGoOnFrom(2);
}

TEST_F(DamagedCheckpointTest, WhatHinderedARecipeOtherwiseStaysWhatItIs) {
  RecordedRunClient client;
  ScriptedRecipe recipe({.unfit = UnavailableError("a rank is gone").WithExitCode(exit_code::kPeerLost)});
  EXPECT_EQ(Train("run", recipe, client).exit_code(), exit_code::kPeerLost);
}

}  // namespace
}  // namespace ferment::worker
