// SPDX-License-Identifier: Apache-2.0
#include "worker/train/trainer_loop.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <numeric>

#include "tests/support/run_ranks.h"
#include "tests/worker/train/trainer_job_test.h"

namespace ferment::worker {
namespace {

using testing::RecordedRunClient;
using testing::ScriptedRecipe;

using TrainerLoopTest = TrainerJobTest;

TEST_F(TrainerLoopTest, AStopWishWritesACheckpointAndGives143AndTheJobGoesOnToTheSameBits) {
  RecordedRunClient client;
  ScriptedRecipe first({.before = [&](std::uint64_t step) {
    client.stop = step == 2;
    return Status();
  }});
  const Status stopped = Train("run", first, client);
  EXPECT_EQ(stopped.exit_code(), exit_code::kTerminated) << stopped.ToString();
  EXPECT_TRUE(HasCheckpoint("run", 3));
  EXPECT_TRUE(client.completed.empty());
  EXPECT_EQ(CurveSteps("run"), (std::vector<int>{0, 1, 2}));

  client.stop = false;
  ScriptedRecipe second({});
  ASSERT_TRUE(Train("run", second, client).ok());
  EXPECT_EQ(second.restored_at, 3U);
  EXPECT_EQ(second.made, (std::vector<std::uint64_t>{3, 4, 5}));
  EXPECT_EQ(client.completed.at(0).models.at(0).sha256, UndisturbedDigest());
  EXPECT_EQ(client.completed.at(0).last.samples, 6 * 8U);
  EXPECT_EQ(CurveSteps("run"), (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_F(TrainerLoopTest, AJobThatDiedGoesOnFromItsLastCheckpointToTheSameBits) {
  RecordedRunClient client;
  ScriptedRecipe first(
      {.before = [](std::uint64_t step) { return step == 5 ? UnavailableError("the machine went away") : Status(); }});
  const Status died = Train("run", first, client, {.checkpoint_every = 4});
  EXPECT_NE(died.ToString().find("step 5"), std::string::npos) << died.ToString();
  EXPECT_TRUE(HasCheckpoint("run", 4));
  EXPECT_FALSE(HasCheckpoint("run", 5));
  EXPECT_EQ(CurveSteps("run"), (std::vector<int>{0, 1, 2, 3, 4}));

  ScriptedRecipe second({});
  ASSERT_TRUE(Train("run", second, client).ok());
  EXPECT_EQ(second.made, (std::vector<std::uint64_t>{4, 5}));
  EXPECT_EQ(client.completed.at(0).models.at(0).sha256, UndisturbedDigest());
  EXPECT_EQ(CurveSteps("run"), (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_F(TrainerLoopTest, ACheckpointWhoseManifestHasFieldsOfAnotherTypeCannotBeRead) {
  RecordedRunClient client;
  ScriptedRecipe first(
      {.before = [](std::uint64_t step) { return step == 5 ? UnavailableError("the machine went away") : Status(); }});
  EXPECT_FALSE(Train("run", first, client, {.checkpoint_every = 4}).ok());
  const auto manifest = Layout("run").Checkpoints("teacher") / "step-4" / "MANIFEST.json";
  ASSERT_TRUE(std::filesystem::exists(manifest));
  for (const char* text : {R"({"format": "1", "files": {}, "scalars": 7})", R"({"files": {}, "scalars": ["a"]})"}) {
    std::ofstream(manifest) << text;
    ScriptedRecipe second({});
    const Status failed = Train("run", second, client);
    EXPECT_EQ(failed.exit_code(), exit_code::kUnreadableState) << failed.ToString();
    EXPECT_NE(failed.ToString().find("the manifest has no scalars"), std::string::npos) << failed.ToString();
  }
}

TEST_F(TrainerLoopTest, AFinishedJobIsToldAgainAndNotTrainedAgain) {
  RecordedRunClient client;
  ScriptedRecipe first({});
  ASSERT_TRUE(Train("run", first, client).ok());
  ScriptedRecipe second({});
  ASSERT_TRUE(Train("run", second, client).ok());
  EXPECT_EQ(second.prepared, 0);
  EXPECT_TRUE(second.made.empty());
  EXPECT_EQ(second.finished, 0);
  ASSERT_EQ(client.completed.size(), 2U);
  EXPECT_EQ(client.completed[1].models.at(0).sha256, client.completed[0].models.at(0).sha256);
  EXPECT_EQ(client.completed[1].last.metrics,
            (std::map<std::string, double>{{"first_weight", client.completed[0].last.metrics["first_weight"]}}));
}

TEST_F(TrainerLoopTest, PastMaxNonfiniteTheJobFailsWith65AndNamesTheStep) {
  RecordedRunClient client;
  ScriptedRecipe recipe({.nonfinite = {1, 2, 4}});
  const Status failed = Train("run", recipe, client, {.checkpoint_every = 2, .max_nonfinite = 2});
  EXPECT_EQ(failed.exit_code(), exit_code::kBadData);
  EXPECT_NE(failed.ToString().find("last_step=4"), std::string::npos) << failed.ToString();
  EXPECT_NE(failed.ToString().find("max_nonfinite=2"), std::string::npos) << failed.ToString();
  EXPECT_EQ(recipe.made.size(), 5U);
  EXPECT_TRUE(client.completed.empty());
}

TEST_F(TrainerLoopTest, NonfiniteStepsAreCountedAcrossAResume) {
  RecordedRunClient client;
  ScriptedRecipe first({.nonfinite = {0, 1}, .before = [&](std::uint64_t step) {
                          client.stop = step == 2;
                          return Status();
                        }});
  EXPECT_EQ(Train("run", first, client, {.max_nonfinite = 2}).exit_code(), exit_code::kTerminated);
  client.stop = false;
  ScriptedRecipe second({.nonfinite = {3}});
  EXPECT_EQ(Train("run", second, client, {.max_nonfinite = 2}).exit_code(), exit_code::kBadData);
}

TEST_F(TrainerLoopTest, ReportsCountStepsEventsAndStalenessSinceTheProcessStarted) {
  RecordedRunClient client;
  ScriptedRecipe first({.nonfinite = {1},
                        .figures = {.values = {}, .events = {"feedback_dropped_undone"}, .label_staleness = 2},
                        .before = [&](std::uint64_t step) {
                          client.stop = step == 3;
                          return Status();
                        }});
  RankBoard board;
  board.BeginCollective(Verb::kBarrier);
  board.EndCollective();
  TrainerLoopOptions options{.report_every = std::chrono::milliseconds(0)};
  options.board = &board;
  EXPECT_EQ(Train("run", first, client, options).exit_code(), exit_code::kTerminated);
  const auto count = [](const metrics::Distribution& of) {
    return std::accumulate(of.counts.begin(), of.counts.end(), 0);
  };
  EXPECT_EQ(client.last.metrics.at("feedback_dropped_undone"), 4);
  EXPECT_TRUE(client.last.distributions.at("step_seconds").Fits(metrics::kStepSecondsBounds));
  EXPECT_EQ(count(client.last.distributions.at("step_seconds")), 4);
  EXPECT_EQ(count(client.last.distributions.at("collective_seconds")), 1);
  EXPECT_EQ(client.last.distributions.at("label_staleness").counts,
            (std::vector<std::uint64_t>{0, 0, 4, 0, 0, 0, 0, 0, 0, 0}));

  client.stop = false;
  ScriptedRecipe second({});
  ASSERT_TRUE(Train("run", second, client).ok());
  const JobProgress& last = client.completed.at(0).last;
  EXPECT_EQ(count(last.distributions.at("step_seconds")), 2) << "another process";
  EXPECT_FALSE(last.metrics.contains("feedback_dropped_undone"));
  EXPECT_FALSE(last.distributions.contains("label_staleness"));
}

TEST_F(TrainerLoopTest, AFencedJobLeavesWith202AndWritesNothingMore) {
  RecordedRunClient client;
  ScriptedRecipe recipe({.before = [&](std::uint64_t step) {
    if (step == 2) client.fenced = AbortedError("not your token");
    return Status();
  }});
  EXPECT_EQ(Train("run", recipe, client).exit_code(), exit_code::kFenced);
  EXPECT_EQ(recipe.made.size(), 3U);
  EXPECT_FALSE(HasCheckpoint("run", 3));
}

TEST_F(TrainerLoopTest, RanksThatReadDifferentCheckpointsSayWhichAndDoNotTrain) {
  RecordedRunClient client;
  for (const char* run : {"early", "late"}) {
    client.stop = false;
    ScriptedRecipe recipe({.before = [&](std::uint64_t step) {
      client.stop = step == (run == std::string("early") ? 1U : 3U);
      return Status();
    }});
    EXPECT_EQ(Train(run, recipe, client).exit_code(), exit_code::kTerminated);
  }
  client.stop = false;
  testing::RunRanks(3, [&](Collective& ranks) {
    ScriptedRecipe recipe({});
    RecordedRunClient own;
    const RecipeContext context = Context(ranks.rank() == 2 ? "early" : "late", ranks);
    const Status failed = TrainerLoop(recipe, context, own, {}).Run();
    EXPECT_EQ(failed.exit_code(), exit_code::kPeerLost) << failed.ToString();
    EXPECT_NE(failed.message().find("rank 0 step=4, rank 2 step=2"), std::string::npos) << failed.ToString();
    EXPECT_TRUE(recipe.made.empty());
  });
}

TEST_F(TrainerLoopTest, ARankThatSeesNoCheckpointYetIsToldFromOneThatDoes) {
  RecordedRunClient client;
  ScriptedRecipe first({.before = [&](std::uint64_t step) {
    client.stop = step == 1;
    return Status();
  }});
  EXPECT_EQ(Train("late", first, client).exit_code(), exit_code::kTerminated);
  testing::RunRanks(2, [&](Collective& ranks) {
    ScriptedRecipe recipe({});
    RecordedRunClient own;
    const RecipeContext context = Context(ranks.rank() == 0 ? "late" : "nothing", ranks);
    const Status failed = TrainerLoop(recipe, context, own, {}).Run();
    EXPECT_EQ(failed.exit_code(), exit_code::kPeerLost) << failed.ToString();
    EXPECT_NE(failed.message().find("rank 0 step=2, rank 1 step=none"), std::string::npos) << failed.ToString();
  });
}

TEST_F(TrainerLoopTest, AllRanksStopTogetherThoughOnlyTheFirstWasAsked) {
  std::array<RecordedRunClient, 2> clients;
  testing::RunRanks(2, [&](Collective& ranks) {
    RecordedRunClient& client = clients.at(static_cast<std::size_t>(ranks.rank()));
    ScriptedRecipe recipe({.before = [&](std::uint64_t step) {
      client.stop = step == 2 && ranks.rank() == 0;
      return Status();
    }});
    const RecipeContext context = Context("run", ranks);
    EXPECT_EQ(TrainerLoop(recipe, context, client, {}).Run().exit_code(), exit_code::kTerminated);
    EXPECT_EQ(recipe.made.size(), 3U);
  });
  EXPECT_TRUE(HasCheckpoint("run", 3));
}

}  // namespace
}  // namespace ferment::worker
