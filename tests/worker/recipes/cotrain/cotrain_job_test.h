// SPDX-License-Identifier: Apache-2.0
//
// A co-training job over tiny rendered sets, on ranks that are threads, for tests of what the trainer loop makes of it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/recorded_run_client.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
#include "worker/recipes/cotrain/cotrain_recipe.h"
#include "worker/train/checkpoint_folder.h"
#include "worker/train/trainer_loop.h"

namespace ferment::worker {

/// Asks to stop before the step that it is told, counted from the one that its process begins with.
class StoppingClient : public testing::RecordedRunClient {
 public:
  explicit StoppingClient(int step) : step_(step) {}
  bool StopRequested() const override { return asked_++ == step_; }

 private:
  const int step_;
  mutable int asked_ = 0;
};

/// The folder is gone afterwards.
class CotrainJobTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::set_num_threads(1);
    std::filesystem::remove_all(folder_);
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *std::move(spec);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// One life of the job of `run`, on as many ranks as the spec says. Rank 0 tells `client`.
  Status Train(const std::string& run, RunClient& client,
               const TrainerLoopOptions& options = {.checkpoint_every = 2}) const {
    Status status;
    testing::RunRanks(static_cast<int>(spec_.resources().ranks()), [&](Collective& world) {
      const RecipeContext context{
          .spec = spec_, .layout = Layout(run), .phase = "cotrain", .world = world, .from_init = true, .recording = {}};
      const auto recipe = MakeCotrainRecipe(context);
      testing::RecordedRunClient deaf;
      const bool leads = world.rank() == 0;
      const Status own = TrainerLoop(*recipe, context, leads ? client : deaf, options).Run();
      if (leads) status = own;
    });
    return status;
  }

  void Colocate(std::uint32_t ranks) {
    spec_.mutable_resources()->set_ranks(ranks);
    spec_.mutable_cotrain()->set_placement("colocated");
    spec_.mutable_cotrain()->clear_placement_ranks();
  }
  void Split(std::uint32_t teacher, std::uint32_t student) {
    spec_.mutable_resources()->set_ranks(teacher + student);
    spec_.mutable_cotrain()->set_placement("split");
    spec_.mutable_cotrain()->mutable_placement_ranks()->set_teacher(teacher);
    spec_.mutable_cotrain()->mutable_placement_ranks()->set_student(student);
  }

  RunLayout Layout(const std::string& run) const { return RunLayout(folder_ / run); }
  /// Returns: the last checkpoint.
  RecipeState Saved(const std::string& run) const {
    const auto saved = CheckpointFolder(Layout(run).Checkpoints("cotrain")).Newest();
    EXPECT_TRUE(saved && *saved) << run;
    return saved && *saved ? **saved : RecipeState();
  }
  /// Returns: the figures of each step.
  std::vector<Json> Curve(const std::string& run) const {
    std::vector<Json> steps;
    std::ifstream curve(Layout(run).Curve("cotrain"));
    for (std::string line; std::getline(curve, line);) steps.push_back(ParseJson(line).value());
    return steps;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("cotrain-job-" + std::to_string(getpid()));
  RunSpec spec_;
};

}  // namespace ferment::worker
