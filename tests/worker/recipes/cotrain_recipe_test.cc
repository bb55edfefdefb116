// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain_recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/recorded_run_client.h"
#include "tests/support/rendered_spec.h"
#include "worker/collective/thread_collective.h"
#include "worker/train/trainer_loop.h"

namespace ferment::worker {
namespace {

/// Asks to stop before the step that it is told.
class StoppingClient : public testing::RecordedRunClient {
 public:
  explicit StoppingClient(int step) : step_(step) {}
  bool StopRequested() const override { return asked_++ == step_; }

 private:
  const int step_;
  mutable int asked_ = 0;
};

Status Train(const RunSpec& spec, const std::filesystem::path& run, RunClient& client) {
  const auto alone = MakeSingleCollective();
  const RecipeContext context{
      .spec = spec, .layout = RunLayout(run), .phase = "cotrain", .world = *alone, .from_init = true, .recording = {}};
  const auto recipe = MakeCotrainRecipe(context);
  return TrainerLoop(*recipe, context, client, {.checkpoint_every = 2}).Run();
}

// Teacher, student, average, momentum, baseline and the feed's position all have to come back for this.
TEST(CotrainRecipe, AResumedJobPublishesTheBitsOfAnUninterruptedOne) {
  torch::set_num_threads(1);
  const auto folder = std::filesystem::path(::testing::TempDir()) / ("cotrain-resume-" + std::to_string(getpid()));
  std::filesystem::remove_all(folder);
  const auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec) << spec.error().ToString();

  testing::RecordedRunClient whole;
  ASSERT_TRUE(Train(*spec, folder / "whole", whole).ok());

  StoppingClient first(3);
  const Status stopped = Train(*spec, folder / "resumed", first);
  EXPECT_EQ(stopped.exit_code(), exit_code::kTerminated) << stopped.ToString();
  testing::RecordedRunClient second;
  ASSERT_TRUE(Train(*spec, folder / "resumed", second).ok());

  ASSERT_EQ(whole.completed.size(), 1U);
  ASSERT_EQ(second.completed.size(), 1U);
  ASSERT_EQ(whole.completed[0].models.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(whole.completed[0].models[i].role, second.completed[0].models.at(i).role);
    EXPECT_EQ(whole.completed[0].models[i].sha256, second.completed[0].models.at(i).sha256)
        << whole.completed[0].models[i].role;
  }
  EXPECT_EQ(whole.completed[0].last.metrics.at("baseline"), second.completed[0].last.metrics.at("baseline"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ferment::worker
