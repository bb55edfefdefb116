// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain_recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/recorded_run_client.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
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

/// Trains on as many ranks as the spec says. Rank 0 tells `client`.
Status Train(const RunSpec& spec, const std::filesystem::path& run, RunClient& client) {
  Status status;
  testing::RunRanks(static_cast<int>(spec.resources().ranks()), [&](Collective& world) {
    const RecipeContext context{
        .spec = spec, .layout = RunLayout(run), .phase = "cotrain", .world = world, .from_init = true, .recording = {}};
    const auto recipe = MakeCotrainRecipe(context);
    testing::RecordedRunClient deaf;
    const bool leads = world.rank() == 0;
    const Status own = TrainerLoop(*recipe, context, leads ? client : deaf, {.checkpoint_every = 2}).Run();
    if (leads) status = own;
  });
  return status;
}

class CotrainRecipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::set_num_threads(1);
    std::filesystem::remove_all(folder_);
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *std::move(spec);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// Trains at a stretch and in two pieces, and compares what is published.
  void ExpectSameBitsAfterAStop() {
    testing::RecordedRunClient whole;
    const Status trained = Train(spec_, folder_ / "whole", whole);
    ASSERT_TRUE(trained.ok()) << trained.ToString();

    StoppingClient first(3);
    const Status stopped = Train(spec_, folder_ / "resumed", first);
    EXPECT_EQ(stopped.exit_code(), exit_code::kTerminated) << stopped.ToString();
    testing::RecordedRunClient second;
    ASSERT_TRUE(Train(spec_, folder_ / "resumed", second).ok());

    ASSERT_EQ(whole.completed.size(), 1U);
    ASSERT_EQ(second.completed.size(), 1U);
    ASSERT_EQ(whole.completed[0].models.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(whole.completed[0].models[i].role, second.completed[0].models.at(i).role);
      EXPECT_EQ(whole.completed[0].models[i].sha256, second.completed[0].models.at(i).sha256)
          << whole.completed[0].models[i].role;
    }
    for (auto* client : {&whole, &second}) {
      std::erase_if(client->completed[0].last.metrics, [](const auto& figure) {
        return figure.first == "samples_per_second" || figure.first.starts_with("checkpoint_");  // times
      });
    }
    EXPECT_EQ(whole.completed[0].last.metrics, second.completed[0].last.metrics);
    EXPECT_EQ(whole.completed[0].last.metrics.at("nonfinite"), 0);
  }

  void Split(std::uint32_t teacher, std::uint32_t student) {
    spec_.mutable_resources()->set_ranks(teacher + student);
    spec_.mutable_cotrain()->set_placement("split");
    spec_.mutable_cotrain()->mutable_placement_ranks()->set_teacher(teacher);
    spec_.mutable_cotrain()->mutable_placement_ranks()->set_student(student);
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("cotrain-resume-" + std::to_string(getpid()));
  RunSpec spec_;
};

// Teacher, student, average, momentum, baseline and the feed's position all have to come back for this.
TEST_F(CotrainRecipeTest, AResumedJobPublishesTheBitsOfAnUninterruptedOne) { ExpectSameBitsAfterAStop(); }

TEST_F(CotrainRecipeTest, SoDoesOneInTwoGroups) {
  Split(2, 1);
  ExpectSameBitsAfterAStop();
}

// The labels and h of the step before have to come back too.
TEST_F(CotrainRecipeTest, SoDoesOneWithLateFeedback) {
  Split(1, 2);
  spec_.mutable_cotrain()->mutable_feedback()->set_max_lag(1);
  spec_.mutable_cotrain()->set_lr_student(0.001);
  ExpectSameBitsAfterAStop();
}

TEST_F(CotrainRecipeTest, AJobGoesOnInTheOtherPlacement) {
  testing::RecordedRunClient whole;
  ASSERT_TRUE(Train(spec_, folder_ / "whole", whole).ok());
  StoppingClient first(3);
  EXPECT_EQ(Train(spec_, folder_ / "resumed", first).exit_code(), exit_code::kTerminated);
  Split(1, 1);
  testing::RecordedRunClient second;
  ASSERT_TRUE(Train(spec_, folder_ / "resumed", second).ok());
  EXPECT_EQ(second.completed.at(0).models.size(), 3U);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "resumed" / "phases" / "cotrain.old-1"));
  EXPECT_NEAR(whole.completed.at(0).last.metrics.at("baseline"), second.completed.at(0).last.metrics.at("baseline"),
              1e-4);
}

}  // namespace
}  // namespace ferment::worker
