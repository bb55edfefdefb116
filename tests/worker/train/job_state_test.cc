// SPDX-License-Identifier: Apache-2.0
#include "worker/train/job_state.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/worker/train/trainer_job_test.h"

namespace ferment::worker {
namespace {

using testing::RecordedRunClient;
using testing::ScriptedRecipe;

class JobStateTest : public TrainerJobTest {
 protected:
  /// A trainer of the job in "run" with this run token goes at its fourth step, and leaves its claim there.
  void LoseATrainer(std::uint64_t token) {
    RecordedRunClient client;
    client.held = token;
    ScriptedRecipe recipe({.before = [](std::uint64_t step) {
      return step == 3 ? UnavailableError("the machine went away") : Status();
    }});
    EXPECT_FALSE(Train("run", recipe, client).ok());
  }
};

TEST_F(JobStateTest, AJobThatIsRefusedLeavesTheEarlierOneWhereItLies) {
  RecordedRunClient client;
  ScriptedRecipe first({});
  ASSERT_TRUE(Train("run", first, client).ok());
  const auto aside = folder_ / "run/phases/teacher.old-1";
  spec_.set_seed(2);
  ScriptedRecipe refused({.refusal = NotFoundError("no such file: model.init=/none")});
  EXPECT_FALSE(Train("run", refused, client).ok());
  EXPECT_TRUE(std::filesystem::exists(Layout("run").Result("teacher")));
  EXPECT_FALSE(std::filesystem::exists(aside));
  EXPECT_EQ(client.completed.size(), 1U);

  ScriptedRecipe taken({});
  ASSERT_TRUE(Train("run", taken, client).ok());
  EXPECT_EQ(taken.made.size(), 6U) << "an earlier job's result is not this one's";
  EXPECT_TRUE(std::filesystem::exists(aside));
}

TEST_F(JobStateTest, AnotherTrainerOfTheJobIsNoticedByWhoHearsNoCoordinatorAndItsWorkStands) {
  RecordedRunClient unheard;
  RecordedRunClient newer;
  newer.held = 2;
  ScriptedRecipe second({});
  std::set<std::string> written;
  ScriptedRecipe first({.before = [&](std::uint64_t step) {
    // From the first's checkpoint of step 2, once it is written, to the end.
    while (step == 3 && !HasCheckpoint("run", 2)) std::this_thread::yield();
    if (step != 3) return Status();
    const Status trained = Train("run", second, newer, {.checkpoint_every = 1});
    written = Checkpoints("run");
    return trained;
  }});
  EXPECT_EQ(Train("run", first, unheard).exit_code(), exit_code::kFenced);
  EXPECT_TRUE(unheard.completed.empty());
  EXPECT_EQ(second.restored_at, 2U);
  EXPECT_EQ(newer.completed.at(0).models.at(0).sha256, UndisturbedDigest());
  EXPECT_EQ(Checkpoints("run"), written);

  // Started again by whoever had lost sight of it: it finds the job done.
  RecordedRunClient former;
  ScriptedRecipe third({});
  EXPECT_TRUE(Train("run", third, former).ok());
  EXPECT_TRUE(third.made.empty());
}

TEST_F(JobStateTest, AnEarlierTrainerThatComesLateWritesNothing) {
  LoseATrainer(/*token=*/2);
  RecordedRunClient former;
  ScriptedRecipe first({});
  EXPECT_EQ(Train("run", first, former).exit_code(), exit_code::kFenced);
  EXPECT_TRUE(first.made.empty());
}

TEST_F(JobStateTest, AnEarlierTrainerOfOtherKeysThatComesLateMovesNothing) {
  LoseATrainer(/*token=*/2);
  RecordedRunClient former;
  ScriptedRecipe first({.inputs = {{"student", "1a"}}});
  spec_.set_seed(2);
  EXPECT_EQ(Train("run", first, former).exit_code(), exit_code::kFenced);
  EXPECT_TRUE(HasCheckpoint("run", 2));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/phases/teacher.old-1"));

  spec_.set_seed(1);
  RecordedRunClient newer;
  newer.held = 2;
  ScriptedRecipe third({});
  ASSERT_TRUE(Train("run", third, newer).ok());
  EXPECT_EQ(third.restored_at, 2U);
}

TEST_F(JobStateTest, WhoIsKeptOutByAClaimOfAnotherStoreGoesOnOnceTheFilesThatItNamesAreRemoved) {
  LoseATrainer(/*token=*/7);
  RecordedRunClient of_new_store;
  ScriptedRecipe second({});
  const Status refused = Train("run", second, of_new_store);
  EXPECT_EQ(refused.exit_code(), exit_code::kFenced);
  const auto job = Layout("run").Job("teacher");
  EXPECT_NE(refused.message().find("path=" + job.string() + "; where none does, remove its .writer-* "),
            std::string::npos)
      << refused.ToString();
  std::set<std::filesystem::path> named;
  for (const auto& entry : std::filesystem::directory_iterator(job)) {
    if (entry.path().filename().string().starts_with(".writer-")) named.insert(entry.path());
  }
  EXPECT_EQ(named.size(), 1U);
  for (const auto& file : named) std::filesystem::remove(file);
  ASSERT_TRUE(Train("run", second, of_new_store).ok());
  EXPECT_EQ(second.restored_at, 2U);
}

}  // namespace
}  // namespace ferment::worker
