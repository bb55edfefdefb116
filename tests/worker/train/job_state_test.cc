// SPDX-License-Identifier: Apache-2.0
#include "worker/train/job_state.h"

#include <fstream>

#include "common/io/atomic_file.h"
#include "common/io/local_file_system.h"
#include "tests/support/job_folder_test.h"
#include "worker/collective/thread_collective.h"

namespace ferment::worker {
namespace {

const JobInputs kInputs = {{"baseline", "aa"}, {"student", "1a"}};

/// A finetune job whose folder says that it was made from kInputs.
class JobStateTest : public testing::JobFolderTest {
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

TEST_F(JobStateTest, NotesDownWhatTheJobReads) {
  const auto text = io::ReadTextFile(Job() / "job.json");
  ASSERT_TRUE(text);
  const auto json = ParseJson(*text);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["inputs"], (Json{{"baseline", "aa"}, {"student", "1a"}}));
  EXPECT_EQ((*json)["digest"], JobDigest(context()));
}

TEST_F(JobStateTest, WorkFromTheSameInputsIsKept) {
  Save();
  Publish();
  EXPECT_TRUE(IsFinishedFor(kInputs));
  EXPECT_EQ(TakeOver(kInputs).find("earlier_job_set_aside"), std::string::npos);
  EXPECT_EQ(NewestStep(), 4U);
  EXPECT_FALSE(std::filesystem::exists(Aside()));
}

TEST_F(JobStateTest, AFinishedJobOfOtherInputsIsNoneAndIsSetAside) {
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

TEST_F(JobStateTest, AHalfDoneJobOfOtherInputsIsSetAsideAndEachOfThemIsNamed) {
  Save();
  const std::string log = TakeOver({{"baseline", "bb"}, {"student", "2b"}});
  EXPECT_NE(log.find("what it was made from has changed: baseline, student\n"), std::string::npos) << log;
  EXPECT_FALSE(NewestStep());
  EXPECT_TRUE(std::filesystem::exists(Aside() / "checkpoints/step-4"));
}

TEST_F(JobStateTest, AnInputThatWasNotNotedDownCountsAsTheSame) {
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

TEST_F(JobStateTest, AnInputThatIsNotThereNowCountsAsTheSame) {
  Publish();
  EXPECT_TRUE(IsFinishedFor({{"baseline", "aa"}}));
  EXPECT_TRUE(IsFinishedFor({}));
}

TEST_F(JobStateTest, ADigestOfAnotherSpecGoesBeforeOtherInputs) {
  Publish();
  spec_.mutable_finetune()->set_steps(7);
  EXPECT_FALSE(IsFinishedFor(kInputs));
  const std::string log = TakeOver({{"student", "2b"}});
  EXPECT_NE(log.find("it was made from another spec"), std::string::npos) << log;
}

}  // namespace
}  // namespace ferment::worker
