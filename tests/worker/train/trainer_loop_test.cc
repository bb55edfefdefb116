// SPDX-License-Identifier: Apache-2.0
#include "worker/train/trainer_loop.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <set>
#include <thread>

#include "tests/support/job_folder_test.h"
#include "tests/support/recorded_run_client.h"
#include "tests/support/run_ranks.h"
#include "tests/support/scripted_recipe.h"
#include "worker/collective/thread_collective.h"

namespace ferment::worker {
namespace {

using testing::RecordedRunClient;
using testing::ScriptedRecipe;

class TrainerLoopTest : public testing::JobFolderTest {
 protected:
  RecipeContext Context(const std::string& run, Collective& world) const {
    return {.spec = spec_, .layout = RunLayout(folder_ / run), .phase = "teacher", .world = world, .recording = {}};
  }
  /// One process of the job of `run`.
  Status Train(const std::string& run, ScriptedRecipe& recipe, RecordedRunClient& client,
               TrainerLoopOptions options = {.checkpoint_every = 2}) const {
    const auto alone = MakeSingleCollective();
    const RecipeContext context = Context(run, *alone);
    return TrainerLoop(recipe, context, client, options).Run();
  }
  RunLayout Layout(const std::string& run) const { return RunLayout(folder_ / run); }
  std::vector<int> CurveSteps(const std::string& run) const {
    std::vector<int> steps;
    std::ifstream curve(Layout(run).Curve("teacher"));
    for (std::string line; std::getline(curve, line);) steps.push_back(ParseJson(line).value()["step"]);
    return steps;
  }
  bool HasCheckpoint(const std::string& run, int step) const {
    return std::filesystem::exists(Layout(run).Checkpoints("teacher") / ("step-" + std::to_string(step)) /
                                   "MANIFEST.json");
  }
  std::set<std::string> Checkpoints(const std::string& run) const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(Layout(run).Checkpoints("teacher"))) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  /// Returns: digest of the published network of a whole run that nothing disturbs.
  std::string UndisturbedDigest() const {
    ScriptedRecipe recipe({});
    RecordedRunClient client;
    EXPECT_TRUE(Train("undisturbed", recipe, client).ok());
    return client.completed.at(0).models.at(0).sha256;
  }
};

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

TEST_F(TrainerLoopTest, AJobThatIsRefusedLeavesTheEarlierOneWhereItLies) {
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

TEST_F(TrainerLoopTest, AFinishedJobIsDoneAgainOnceWhatItReadIsAnother) {
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

TEST_F(TrainerLoopTest, AJobThatDiedGoesOnFromTheInputsThatItWasBegunWithAlone) {
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

TEST_F(TrainerLoopTest, WhetherAJobIsDoneIsWhatTheFirstRankSees) {
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

TEST_F(TrainerLoopTest, AnotherTrainerOfTheJobIsNoticedByWhoHearsNoCoordinatorAndItsWorkStands) {
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

TEST_F(TrainerLoopTest, AnEarlierTrainerThatComesLateWritesNothing) {
  RecordedRunClient newer;
  newer.held = 2;
  ScriptedRecipe second(
      {.before = [](std::uint64_t step) { return step == 3 ? UnavailableError("the machine went away") : Status(); }});
  EXPECT_FALSE(Train("run", second, newer).ok());
  RecordedRunClient former;
  ScriptedRecipe first({});
  EXPECT_EQ(Train("run", first, former).exit_code(), exit_code::kFenced);
  EXPECT_TRUE(first.made.empty());
}

TEST_F(TrainerLoopTest, WhoIsKeptOutByAClaimOfAnotherStoreGoesOnOnceTheFilesThatItNamesAreRemoved) {
  RecordedRunClient former;
  former.held = 7;
  ScriptedRecipe first(
      {.before = [](std::uint64_t step) { return step == 3 ? UnavailableError("the machine went away") : Status(); }});
  EXPECT_FALSE(Train("run", first, former).ok());
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
