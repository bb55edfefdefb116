// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>

#include "common/io/atomic_file.h"
#include "common/io/local_file_system.h"
#include "tests/support/run_ranks.h"
#include "tests/worker/train/trainer_job_test.h"
#include "worker/train/job_state.h"

namespace ferment::worker {
namespace {

using testing::RecordedRunClient;
using testing::ScriptedRecipe;

const JobInputs kInputs = {{"baseline", "aa"}, {"student", "1a"}};

/// A finetune job whose folder says that it was made from kInputs.
class JobInputsTest : public testing::JobFolderTest {
 protected:
  void SetUp() override {
    JobFolderTest::SetUp();
    JobState begun(context());
    ASSERT_TRUE(begun.TakeOver(1, kInputs, /*start_anew=*/false).ok());
  }
  const RecipeContext& context() {
    if (!context_) {
      alone_ = MakeSingleCollective();
      context_.emplace(RecipeContext{
          .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "finetune", .world = *alone_, .recording = {}});
    }
    return *context_;
  }
  std::filesystem::path Job() { return context().layout.Job("finetune"); }
  /// Half done: it has saved its state.
  void Save() {
    JobState state(context());
    ASSERT_TRUE(state.TakeOver(1, kInputs, /*start_anew=*/false).ok());
    ASSERT_TRUE(state.Save({4, 32, 0, {.tensors = {{"net", {{"w", torch::zeros({1})}}}}}}).ok());
  }
  void Publish() {
    JobState state(context());
    ASSERT_TRUE(state.TakeOver(1, kInputs, /*start_anew=*/false).ok());
    ASSERT_TRUE(state.Publish({{}, {{"macro_f1", 0.5}}, nullptr}, 8));
  }
  bool IsFinishedFor(const JobInputs& inputs) {
    const auto finished = JobState(context()).Finished(inputs);
    EXPECT_TRUE(finished) << finished.error().ToString();
    return finished && finished->has_value();
  }
  /// Returns: what is logged.
  std::string TakeOver(const JobInputs& inputs) {
    ::testing::internal::CaptureStderr();
    JobState state(context());
    const Status taken = state.TakeOver(1, inputs, /*start_anew=*/false);
    const std::string log = ::testing::internal::GetCapturedStderr();
    EXPECT_TRUE(taken.ok()) << taken.ToString();
    return log;
  }
  /// Returns: the step that the next trainer goes on from.
  std::optional<std::uint64_t> NewestStep() {
    const auto newest = JobState(context()).Newest();
    EXPECT_TRUE(newest) << newest.error().ToString();
    return newest && *newest ? std::optional((*newest)->next_step) : std::nullopt;
  }
  std::filesystem::path Aside() { return folder_ / "run/phases/finetune.old-1"; }

 private:
  std::unique_ptr<Collective> alone_;
  std::optional<RecipeContext> context_;
};

TEST_F(JobInputsTest, NotesDownWhatTheJobReads) {
  const auto text = io::ReadTextFile(Job() / "job.json");
  ASSERT_TRUE(text);
  const auto json = ParseJson(*text);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["inputs"], (Json{{"baseline", "aa"}, {"student", "1a"}}));
  EXPECT_EQ((*json)["digest"], JobDigest(context()));
}

TEST_F(JobInputsTest, WorkFromTheSameInputsIsKept) {
  Save();
  Publish();
  EXPECT_TRUE(IsFinishedFor(kInputs));
  EXPECT_EQ(TakeOver(kInputs).find("earlier_job_set_aside"), std::string::npos);
  EXPECT_EQ(NewestStep(), 4U);
  EXPECT_FALSE(std::filesystem::exists(Aside()));
}

TEST_F(JobInputsTest, AFinishedJobOfOtherInputsIsNoneAndIsSetAside) {
  Publish();
  const JobInputs others = {{"baseline", "aa"}, {"student", "2b"}};
  EXPECT_FALSE(IsFinishedFor(others));
  const std::string log = TakeOver(others);
  EXPECT_NE(log.find("earlier_job_set_aside"), std::string::npos) << log;
  EXPECT_NE(log.find("what it was made from has changed: student\n"), std::string::npos) << log;
  EXPECT_TRUE(std::filesystem::exists(Aside() / "result.json"));
  EXPECT_FALSE(IsFinishedFor(others));
  Publish();
}

TEST_F(JobInputsTest, AHalfDoneJobOfOtherInputsIsSetAsideAndEachOfThemIsNamed) {
  Save();
  const std::string log = TakeOver({{"baseline", "bb"}, {"student", "2b"}});
  EXPECT_NE(log.find("what it was made from has changed: baseline, student\n"), std::string::npos) << log;
  EXPECT_FALSE(NewestStep());
  EXPECT_TRUE(std::filesystem::exists(Aside() / "checkpoints/step-4"));
}

TEST_F(JobInputsTest, AnInputThatWasNotNotedDownCountsAsTheSame) {
  Save();
  Publish();
  const std::string digest = JobDigest(context());
  for (const Json& former : {Json{{"digest", digest}}, Json{{"digest", digest}, {"inputs", {{"baseline", "aa"}}}},
                             Json{{"digest", digest}, {"inputs", 7}}}) {
    SCOPED_TRACE(former.dump());
    std::ofstream(Job() / "job.json") << former;
    EXPECT_TRUE(IsFinishedFor(kInputs));
    EXPECT_EQ(TakeOver(kInputs).find("earlier_job_set_aside"), std::string::npos);
    EXPECT_EQ(NewestStep(), 4U);
  }
}

TEST_F(JobInputsTest, AnInputThatIsNotThereNowCountsAsTheSame) {
  Publish();
  EXPECT_TRUE(IsFinishedFor({{"baseline", "aa"}}));
  EXPECT_TRUE(IsFinishedFor({}));
}

TEST_F(JobInputsTest, ADigestOfAnotherSpecGoesBeforeOtherInputs) {
  Publish();
  spec_.mutable_finetune()->set_steps(7);
  EXPECT_FALSE(IsFinishedFor(kInputs));
  const std::string log = TakeOver({{"student", "2b"}});
  EXPECT_NE(log.find("it was made from another spec"), std::string::npos) << log;
}

/// With whole trainers.
using InputsOfAJobTrained = TrainerJobTest;

TEST_F(InputsOfAJobTrained, AFinishedJobIsDoneAgainOnceWhatItReadIsAnother) {
  RecordedRunClient client;
  const auto train = [&](const JobInputs& inputs) {
    ScriptedRecipe recipe({.inputs = inputs});
    EXPECT_TRUE(Train("run", recipe, client).ok());
    return recipe.made.size();
  };
  EXPECT_EQ(train({{"student", "1a"}}), 6U);
  EXPECT_EQ(train({{"student", "1a"}}), 0U);
  EXPECT_EQ(train({{"student", "2b"}}), 6U);
  EXPECT_EQ(train({{"student", "2b"}}), 0U);
  EXPECT_EQ(client.completed.size(), 4U);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run/phases/teacher.old-1/result.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/phases/teacher.old-2"));
}

TEST_F(InputsOfAJobTrained, AJobThatDiedGoesOnFromTheInputsThatItWasBegunWithAlone) {
  RecordedRunClient client;
  const auto die = [](std::uint64_t step) { return step == 5 ? UnavailableError("no such machine") : Status(); };
  ScriptedRecipe first({.inputs = {{"student", "1a"}}, .before = die});
  EXPECT_FALSE(Train("run", first, client, {.checkpoint_every = 4}).ok());
  ScriptedRecipe same({.inputs = {{"student", "1a"}}, .before = die});
  EXPECT_FALSE(Train("run", same, client, {.checkpoint_every = 4}).ok());
  EXPECT_EQ(same.restored_at, 4U);

  ScriptedRecipe other({.inputs = {{"student", "2b"}}});
  ASSERT_TRUE(Train("run", other, client).ok());
  EXPECT_EQ(other.made, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run/phases/teacher.old-1/checkpoints/step-4"));
}

TEST_F(InputsOfAJobTrained, WhetherAJobIsDoneIsWhatTheFirstRankSees) {
  RecordedRunClient client;
  ScriptedRecipe done({.inputs = {{"student", "1a"}}});
  ASSERT_TRUE(Train("run", done, client).ok());
  const auto train_on_two = [&](const JobInputs& first, const char* folder, std::size_t steps) {
    testing::RunRanks(2, [&](Collective& ranks) {
      ScriptedRecipe recipe({.inputs = ranks.rank() == 0 ? first : JobInputs{{"student", "1a"}}});
      RecordedRunClient own;
      const RecipeContext context = Context(ranks.rank() == 0 ? "run" : folder, ranks);
      EXPECT_TRUE(TrainerLoop(recipe, context, own, {}).Run().ok());
      EXPECT_EQ(recipe.made.size(), steps) << "rank " << ranks.rank();
      EXPECT_EQ(own.completed.size(), ranks.rank() == 0 ? 1U : 0U);
    });
  };
  train_on_two({{"student", "1a"}}, "nothing", 0);
  std::filesystem::copy(folder_ / "run", folder_ / "late", std::filesystem::copy_options::recursive);
  std::filesystem::remove_all(folder_ / "late/phases/teacher/checkpoints");
  std::ofstream(Layout("late").Result("teacher")) << "{";
  train_on_two({{"student", "1a"}}, "late", 0);
  train_on_two({{"student", "2b"}}, "late", 6);
}

}  // namespace
}  // namespace ferment::worker
