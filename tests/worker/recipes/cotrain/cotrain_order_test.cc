// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
#include "worker/recipes/cotrain/cotrain_recipe.h"

namespace ferment::worker {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

/// The ranks of the job in its life, and the steps it makes on each.
struct Stretch {
  int ranks;
  std::uint64_t begin;
  std::uint64_t end;
};

class CotrainOrderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::set_num_threads(1);
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *std::move(spec);
    spec_.mutable_cotrain()->set_steps(8);
    spec_.mutable_cotrain()->set_batch(6);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// Makes the steps of `stretch`, going on from `state` unless it is empty, and records `step`. Returns: the state
  /// after it.
  RecipeState Make(const Stretch& stretch, const RecipeState& state, std::uint64_t step,
                   const std::filesystem::path& record) const {
    RecipeState after;
    testing::RunRanks(stretch.ranks, [&](Collective& world) {
      const RecipeContext context{.spec = spec_,
                                  .layout = RunLayout(folder_ / "run"),
                                  .phase = "cotrain",
                                  .world = world,
                                  .from_init = true,
                                  .recording = StepRecording{.step = step, .folder = record}};
      const auto recipe = MakeCotrainRecipe(context);
      ASSERT_TRUE(recipe->Prepare().ok());
      if (!state.tensors.empty()) {
        ASSERT_TRUE(recipe->Restore(state, stretch.begin).ok());
      }
      for (std::uint64_t s = stretch.begin; s < stretch.end; ++s) ASSERT_TRUE(recipe->Step(s));
      const auto own = recipe->State();
      ASSERT_TRUE(own);
      if (world.rank() == 0) after = *own;
    });
    return after;
  }

  static Tensors BatchOf(const std::filesystem::path& record) {
    const auto tensors = nn::LoadTensors(record / "batch.safetensors");
    EXPECT_TRUE(tensors) << record;
    return tensors ? Tensors(tensors->begin(), tensors->end()) : Tensors();
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("cotrain-order-" + std::to_string(getpid()));
  RunSpec spec_;
};

// Every draw wraps round the 24 records, so that the epochs and their orders are among what must come back.
TEST_F(CotrainOrderTest, AJobThatGoesOnWithOtherRanksSeesTheSameFacesInTheSameOrder) {
  RecipeState state;
  torch::Tensor last_keys;
  for (const Stretch& stretch : {Stretch{1, 0, 2}, Stretch{2, 2, 4}, Stretch{3, 4, 6}, Stretch{1, 6, 8}}) {
    RecipeState next;
    for (std::uint64_t step = stretch.begin; step < stretch.end; ++step) {
      SCOPED_TRACE(::testing::Message() << "step " << step << " on " << stretch.ranks << " ranks");
      next = Make(stretch, state, step, folder_ / "resumed");
      Make({1, 0, step + 1}, {}, step, folder_ / "whole");
      const Tensors resumed = BatchOf(folder_ / "resumed");
      const Tensors whole = BatchOf(folder_ / "whole");
      for (const char* name : {"key", "y_l", "x_l", "x_u_weak", "x_u_strong"})
        EXPECT_TRUE(torch::equal(resumed.at(name), whole.at(name))) << name;
      EXPECT_FALSE(last_keys.defined() && torch::equal(last_keys, whole.at("key")));
      last_keys = whole.at("key");
    }
    state = next;
  }
}

}  // namespace
}  // namespace ferment::worker
