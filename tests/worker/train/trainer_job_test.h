// SPDX-License-Identifier: Apache-2.0
//
// Jobs of a scripted recipe and what they leave in their folder, for tests of the trainer loop and of what it keeps.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/support/job_folder_test.h"
#include "tests/support/recorded_run_client.h"
#include "tests/support/scripted_recipe.h"
#include "worker/collective/thread_collective.h"
#include "worker/train/trainer_loop.h"

namespace ferment::worker {

/// The folder is gone afterwards.
class TrainerJobTest : public testing::JobFolderTest {
 protected:
  RecipeContext Context(const std::string& run, Collective& world) const {
    return {.spec = spec_, .layout = RunLayout(folder_ / run), .phase = "teacher", .world = world, .recording = {}};
  }
  /// One process of the job of `run`.
  Status Train(const std::string& run, testing::ScriptedRecipe& recipe, testing::RecordedRunClient& client,
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
    testing::ScriptedRecipe recipe({});
    testing::RecordedRunClient client;
    EXPECT_TRUE(Train("undisturbed", recipe, client).ok());
    return client.completed.at(0).models.at(0).sha256;
  }
};

}  // namespace ferment::worker
