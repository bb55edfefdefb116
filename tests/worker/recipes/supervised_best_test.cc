// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
#include "worker/recipes/face_network.h"
#include "worker/recipes/supervised_recipe.h"

namespace ferment::worker {
namespace {

/// The same 50 steps each time, of which none moves a weight: the test says which class the network takes every face
/// for, and so what each validation finds does not depend on the bits of a training.
class BestOfASupervisedJob : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / ("best-" + std::to_string(getpid()));
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *spec;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static constexpr std::uint64_t kSteps = 50;
  /// Of each ten steps. The second is the commonest among the validation faces, as is the fourth, which comes too late.
  static constexpr std::array<std::int64_t, 5> kAnswers = {0, 1, 2, 6, 4};

  struct Trained {
    std::map<std::uint64_t, double> macro_f1;  // by steps made
    std::map<std::uint64_t, NamedTensors> state;
    RecipeResult result;
  };

  static void AnswerAlways(nn::Backbone& net, std::int64_t expression) {
    const torch::NoGradGuard no_grad;
    auto parameters = net.parameters();
    parameters[parameters.size() - 2].zero_();
    parameters.back().zero_()[expression] = 1;
  }

  /// `stop`: after so many steps another recipe goes on from the checkpoint.
  Trained Train(bool publish_best, std::uint64_t stop = kSteps) const {
    Trained trained;
    testing::RunRanks(1, [&](Collective& ranks) {
      const RecipeContext context{
          .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "finetune", .world = ranks, .recording = {}};
      std::shared_ptr<nn::Backbone> net;
      const auto make = [&]() -> Result<std::shared_ptr<nn::Backbone>> {
        FERMENT_ASSIGN_OR_RETURN(net, MakeInitialNetwork(context, 0, torch::kFloat32));
        return net;
      };
      const SupervisedPlan plan{.batch = 8,
                                .schedule = {.base = 0, .total_steps = kSteps},
                                .optimizer = {},
                                .label_smoothing = 0.1,
                                .subjects = {{"student", make}},
                                .batch_key = "finetune.batch",
                                .publish_best = publish_best};
      auto recipe = MakeSupervisedRecipe(context, plan);
      ASSERT_TRUE(recipe->Prepare().ok());
      for (std::uint64_t step = 0; step < kSteps; ++step) {
        if (step == stop) {
          const RecipeState state = recipe->State().value();
          auto next = MakeSupervisedRecipe(context, plan);
          ASSERT_TRUE(next->Prepare().ok());
          ASSERT_TRUE(next->Restore(state, step).ok());
          recipe = std::move(next);
        }
        AnswerAlways(*net, kAnswers.at(step / 10));
        const auto figures = recipe->Step(step);
        ASSERT_TRUE(figures) << figures.error().ToString();
        if (const auto f1 = figures->values.find("macro_f1"); f1 != figures->values.end()) {
          trained.macro_f1[step + 1] = f1->second;
          trained.state[step + 1] = PublishedState(*net);
        }
      }
      trained.state[kSteps] = PublishedState(*net);
      trained.result = recipe->Finish().value();
    });
    return trained;
  }

  static void ExpectEqual(const NamedTensors& a, const NamedTensors& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first;
  }

  std::filesystem::path folder_;
  RunSpec spec_;
};

TEST_F(BestOfASupervisedJob, IsPublishedAsItWasAtItsBestValidation) {
  const Trained best = Train(true);
  ASSERT_EQ(best.macro_f1.size(), 4U);
  std::uint64_t steps = 0;
  double macro_f1 = -1;
  for (const auto& [at, f1] : best.macro_f1) {
    if (f1 > macro_f1) std::tie(steps, macro_f1) = std::tie(at, f1);
  }
  ASSERT_EQ(steps, 20U);
  EXPECT_EQ(best.result.metrics.at("best_step"), static_cast<double>(steps));
  EXPECT_EQ(best.result.metrics.at("macro_f1"), macro_f1);
  ExpectEqual(best.result.models.at(0).tensors, best.state.at(steps));

  const Trained last = Train(false);
  EXPECT_FALSE(last.result.metrics.contains("best_step"));
  EXPECT_LT(last.result.metrics.at("macro_f1"), macro_f1);
  ExpectEqual(last.result.models.at(0).tensors, last.state.at(kSteps));
  ExpectEqual(last.state.at(kSteps), best.state.at(kSteps));
}

TEST_F(BestOfASupervisedJob, IsStillKnownAfterAResume) {
  const Trained whole = Train(true);
  const Trained resumed = Train(true, 33);
  EXPECT_EQ(resumed.result.metrics, whole.result.metrics);
  ExpectEqual(resumed.result.models.at(0).tensors, whole.result.models.at(0).tensors);
}

}  // namespace
}  // namespace ferment::worker
