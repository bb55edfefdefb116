// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>

#include "common/io/local_file_system.h"
#include "tests/worker/train/trainer_job_test.h"

namespace ferment::worker {
namespace {

using testing::RecordedRunClient;
using testing::ScriptedRecipe;

/// A job that has ended, of whose files a test then damages one.
class DamagedResultTest : public TrainerJobTest {
 protected:
  void SetUp() override {
    TrainerJobTest::SetUp();
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    ASSERT_TRUE(Train("run", recipe, client).ok());
    digest_ = client.completed.at(0).models.at(0).sha256;
  }
  /// Expects that the next trainer leaves with 78, says this, and moves nothing.
  void ExpectToLeave(const std::string& says, const std::filesystem::path& names) const {
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    const Status failed = Train("run", recipe, client);
    EXPECT_EQ(ProcessExitCode(failed), exit_code::kUnreadableState) << failed.ToString();
    EXPECT_NE(failed.message().find(says), std::string::npos) << failed.ToString();
    EXPECT_NE(failed.message().find(names.string()), std::string::npos) << failed.ToString();
    EXPECT_TRUE(recipe.made.empty());
    EXPECT_TRUE(client.completed.empty());
    EXPECT_TRUE(std::filesystem::exists(result()));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "run/phases/teacher.old-1"));
  }
  /// Expects that without its result the job is published again from its last checkpoint.
  void ExpectToPublishAgain() const {
    std::filesystem::remove(result());
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    ASSERT_TRUE(Train("run", recipe, client).ok());
    EXPECT_TRUE(recipe.made.empty());
    EXPECT_EQ(client.completed.at(0).models.at(0).sha256, digest_);
  }
  std::filesystem::path result() const { return Layout("run").Result("teacher"); }
  std::filesystem::path model() const { return Layout("run").Model("teacher", "net"); }
  std::filesystem::path identity() const { return Layout("run").Job("teacher") / "job.json"; }

  std::string digest_;
};

TEST_F(DamagedResultTest, AResultOfAnotherShapeIsNoJobThatIsDone) {
  const Json whole = ParseJson(io::ReadTextFile(result()).value()).value();
  std::vector<std::string> texts = {"", "{", "{}", "[]", "7", R"({"models": {}})", R"({"models": [7]})"};
  for (const char* key : {"job_id", "models", "metrics", "samples"}) {
    Json lacking = whole;
    lacking.erase(key);
    texts.push_back(lacking.dump());
  }
  for (const char* key : {"role", "file", "sha256"}) {
    Json lacking = whole;
    lacking["models"][0].erase(key);
    texts.push_back(lacking.dump());
  }
  Json others = whole;
  others["job_id"] = "cotrain";
  texts.push_back(others.dump());
  for (const std::string& text : texts) {
    SCOPED_TRACE(text);
    std::ofstream(result()) << text;
    ExpectToLeave("result.json is damaged", result());
  }
  ExpectToPublishAgain();
}

TEST_F(DamagedResultTest, AModelThatIsLostOrAnotherIsNoJobThatIsDone) {
  std::filesystem::resize_file(model(), std::filesystem::file_size(model()) - 1);
  ExpectToLeave("not the model that was published", model());
  std::filesystem::remove_all(model().parent_path());
  ExpectToLeave("the published model is lost", model());
  ExpectToPublishAgain();
}

TEST_F(DamagedResultTest, ADamagedIdentityDoesNotPutTheResultAway) {
  const std::string whole = io::ReadTextFile(identity()).value();
  for (const char* text : {"", "{", "[]", R"({"digest": 7})", R"({"inputs": {}})"}) {
    SCOPED_TRACE(text);
    std::ofstream(identity()) << text;
    ExpectToLeave("job.json is damaged", identity());
  }
  std::ofstream(identity()) << whole;
  RecordedRunClient client;
  ScriptedRecipe recipe({});
  ASSERT_TRUE(Train("run", recipe, client).ok());
  EXPECT_EQ(recipe.prepared, 0) << "the job is done";
}

TEST_F(DamagedResultTest, WhatIsSetAsideForItsIdentityIsSetAsideWithTheTrueReason) {
  std::filesystem::remove(result());
  const auto log_of = [&] {
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    ::testing::internal::CaptureStderr();
    const Status trained = Train("run", recipe, client);
    const std::string log = ::testing::internal::GetCapturedStderr();
    EXPECT_TRUE(trained.ok()) << trained.ToString();
    EXPECT_EQ(recipe.made.size(), 6U);
    return log;
  };
  std::ofstream(identity()) << "{";
  const std::string damaged = log_of();
  EXPECT_NE(damaged.find("job.json is damaged: "), std::string::npos) << damaged;
  EXPECT_NE(damaged.find("not valid JSON"), std::string::npos) << damaged;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run/phases/teacher.old-1/checkpoints/step-6"));
  std::filesystem::remove(identity());
  const std::string lost = log_of();
  EXPECT_NE(lost.find("it has no job.json"), std::string::npos) << lost;
}

}  // namespace
}  // namespace ferment::worker
