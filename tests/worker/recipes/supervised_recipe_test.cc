// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/supervised_recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <mutex>

#include "common/dataset/faces/face_list.h"
#include "tests/support/recorded_run_client.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
#include "worker/feed/face_stream.h"
#include "worker/recipes/evaluation/static_evaluation.h"
#include "worker/recipes/face_network.h"
#include "worker/train/exchange/rank_statistics.h"
#include "worker/train/trainer_loop.h"

namespace ferment::worker {
namespace {

torch::Tensor Flat(const RecipeState& state) {
  std::vector<torch::Tensor> parts;
  for (const auto& [stem, tensors] : state.tensors)
    for (const auto& [name, tensor] : tensors) parts.push_back(tensor.flatten().to(torch::kFloat64));
  return torch::cat(parts).detach().nan_to_num(-7).clone();
}

class SupervisedRecipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / ("supervised-" + std::to_string(getpid()));
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *spec;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// Steps 0 and 1 on `count` ranks, of two networks of which the second starts with `harm` on the last rank.
  /// Neither may move.
  void ExpectUndone(int count, double lr, const std::function<void(nn::Backbone&)>& harm) const {
    testing::RunRanks(count, [&](Collective& ranks) {
      const RecipeContext context{
          .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "finetune", .world = ranks, .recording = {}};
      const auto make = [&](bool harmed) {
        return [&context, &harm, &ranks, harmed]() -> Result<std::shared_ptr<nn::Backbone>> {
          FERMENT_ASSIGN_OR_RETURN(auto net, MakeInitialNetwork(context, 0, torch::kFloat32));
          torch::NoGradGuard no_grad;
          if (harmed && ranks.rank() == ranks.size() - 1) harm(*net);
          return net;
        };
      };
      SupervisedPlan plan{.batch = 8,
                          .schedule = {.base = lr, .total_steps = 100},
                          .optimizer = {},
                          .label_smoothing = 0.1,
                          .subjects = {{"sound", make(false)}, {"harmed", make(true)}},
                          .batch_key = "finetune.batch"};
      const auto recipe = MakeSupervisedRecipe(context, std::move(plan));
      ASSERT_TRUE(recipe->Prepare().ok());
      const torch::Tensor before = Flat(recipe->State().value());
      for (const std::uint64_t step : {1, 2}) {
        const auto figures = recipe->Step(step);
        ASSERT_TRUE(figures) << figures.error().ToString();
        EXPECT_FALSE(figures->finite) << "rank " << ranks.rank();
      }
      EXPECT_TRUE(torch::equal(before, Flat(recipe->State().value()))) << "rank " << ranks.rank();
    });
  }

  std::filesystem::path folder_;
  RunSpec spec_;
};

/// Computes in float64 whatever the faces come in.
class InFloat64 : public nn::Backbone {
 public:
  explicit InFloat64(std::shared_ptr<nn::Backbone> inner) : inner_(register_module("inner", std::move(inner))) {}
  torch::Tensor Features(const torch::Tensor& images) override { return inner_->Features(images.to(torch::kFloat64)); }
  torch::Tensor Classify(const torch::Tensor& features) override { return inner_->Classify(features); }
  std::int64_t feature_size() const override { return inner_->feature_size(); }
  void FoldBatchNorm(const nn::Folding& folding) override { inner_->FoldBatchNorm(folding); }

 private:
  std::shared_ptr<nn::Backbone> inner_;
};

/// Three steps of two networks, as fine-tuning has them, of seven faces each.
class SupervisedOnRanks : public SupervisedRecipeTest {
 protected:
  struct Made {
    std::vector<double> losses;
    torch::Tensor state;
  };

  Made MakeSteps(int count, nn::BatchNormMode mode) const {
    torch::set_num_threads(1);
    Made made;
    std::mutex mutex;
    testing::RunRanks(count, [&](Collective& ranks) {
      const RecipeContext context{
          .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "finetune", .world = ranks, .recording = {}};
      RankStatistics exchange(ranks);
      const auto make = [&](std::uint64_t stream) {
        return [&context, &exchange, mode, stream]() -> Result<std::shared_ptr<nn::Backbone>> {
          FERMENT_ASSIGN_OR_RETURN(auto net, MakeInitialNetwork(context, stream, torch::kFloat64));
          net->SetBatchNorm(mode, &exchange);
          return std::make_shared<InFloat64>(std::move(net));
        };
      };
      SupervisedPlan plan{.batch = 7,
                          .schedule = {.base = 0.02, .total_steps = 100},
                          .optimizer = {.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3},
                          .label_smoothing = 0.1,
                          .subjects = {{"student", make(0)}, {"baseline", make(1)}},
                          .batch_key = "finetune.batch"};
      const auto recipe = MakeSupervisedRecipe(context, std::move(plan));
      ASSERT_TRUE(recipe->Prepare().ok());
      Made own;
      for (const std::uint64_t step : {0, 1, 2}) {
        const auto figures = recipe->Step(step);
        ASSERT_TRUE(figures) << figures.error().ToString();
        EXPECT_TRUE(figures->finite);
        for (const char* loss : {"loss", "loss_baseline"}) own.losses.push_back(figures->values.at(loss));
      }
      own.state = Flat(recipe->State().value());
      const std::lock_guard lock(mutex);
      if (made.state.defined()) {
        EXPECT_EQ(made.losses, own.losses);
        EXPECT_TRUE(torch::equal(made.state, own.state)) << "ranks differ";
      }
      made = own;
    });
    return made;
  }
};

TEST_F(SupervisedOnRanks, AnyNumberComputesWhatOneDoes) {
  for (const nn::BatchNormMode mode : {nn::BatchNormMode::kSync, nn::BatchNormMode::kFrozen}) {
    const Made alone = MakeSteps(1, mode);
    for (const int ranks : {2, 3}) {
      SCOPED_TRACE(::testing::Message() << ranks << " ranks, mode " << static_cast<int>(mode));
      const Made made = MakeSteps(ranks, mode);
      ASSERT_EQ(made.losses.size(), alone.losses.size());
      for (std::size_t i = 0; i < alone.losses.size(); ++i)
        EXPECT_NEAR(made.losses[i], alone.losses[i], 1e-9 * alone.losses[i]) << "loss " << i;
      EXPECT_TRUE(torch::allclose(made.state, alone.state, 1e-8, 1e-10));
    }
  }
}

TEST_F(SupervisedRecipeTest, ANanOnOneRankUndoesTheStepOfAllNetworksOnAllRanks) {
  for (const int ranks : {1, 2}) {
    ExpectUndone(ranks, 0.1,
                 [](nn::Backbone& net) { net.parameters().back().fill_(std::numeric_limits<float>::quiet_NaN()); });
  }
}

TEST_F(SupervisedRecipeTest, AnInfiniteStatisticIsUndoneThoughLossesAreFinite) {
  ExpectUndone(2, 0.1, [](nn::Backbone& net) { net.parameters().front().mul_(1e30); });
}

TEST_F(SupervisedRecipeTest, AStepTooLongForTheWeightsIsUndone) {
  ExpectUndone(2, std::numeric_limits<double>::infinity(), [](nn::Backbone&) {});
}

TEST_F(SupervisedRecipeTest, TheResultCountsTheDamagedFacesOfAllRanks) {
  std::vector<std::filesystem::path> faces;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(spec_.data().fer(0).path())) {
    if (entry.path().extension() == ".jpg" && entry.path().string().find("train") != std::string::npos)
      faces.push_back(entry.path());
  }
  std::ranges::sort(faces);
  for (std::size_t i = 0; i < faces.size(); i += 2) std::ofstream(faces[i]) << "not a picture";
  std::array<double, 3> damaged{};
  testing::RunRanks(3, [&](Collective& ranks) {
    const RecipeContext context{
        .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "finetune", .world = ranks, .recording = {}};
    const auto recipe = MakeSupervisedRecipe(
        context, {.batch = 8,
                  .schedule = {.base = 0.02, .total_steps = 1},
                  .optimizer = {},
                  .label_smoothing = 0.1,
                  .subjects = {{"student", [&] { return MakeInitialNetwork(context, 0, torch::kFloat32); }}},
                  .batch_key = "finetune.batch"});
    ASSERT_TRUE(recipe->Prepare().ok());
    ASSERT_TRUE(recipe->Step(0));
    damaged[static_cast<std::size_t>(ranks.rank())] = recipe->Finish().value().metrics.at("damaged_faces");
  });
  EXPECT_GT(damaged[0], 0);
  EXPECT_EQ(damaged[1], damaged[0]);
  EXPECT_EQ(damaged[2], damaged[0]);
}

TEST_F(SupervisedRecipeTest, AClassWithoutASoundFaceIsNamedAndNotTrainedAround) {
  const auto list = dataset::LoadFaces(spec_, dataset::FaceSplit::kTrain);
  ASSERT_TRUE(list) << list.error().ToString();
  std::vector<std::filesystem::path> of_one_class;
  for (const dataset::LabelledFace& face : list->faces)
    if (face.label == 1) of_one_class.push_back(face.file);
  ASSERT_GT(of_one_class.size(), 1U);
  const auto draw_all = [&] { return (*OpenLabelledStream(spec_))->Rows(0, 20 * list->faces.size()); };
  for (std::size_t i = 1; i < of_one_class.size(); ++i) std::ofstream(of_one_class[i]) << "not a picture";
  EXPECT_TRUE(draw_all()) << "one face is left";
  std::ofstream(of_one_class[0]) << "not a picture";
  const auto rows = draw_all();
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error(), DataLossError("every training face of a class is damaged: class=" + spec_.classes(1) +
                                        "; look at `ferment data scan`"));
}

TEST_F(SupervisedRecipeTest, TheSamplesOfAnEvaluationAreItsFacesWhateverTheBatch) {
  const auto list = dataset::LoadFaces(spec_, dataset::FaceSplit::kValidation);
  ASSERT_TRUE(list) << list.error().ToString();
  for (const std::uint32_t batch : {5U, 500U}) {
    spec_.mutable_evaluate()->set_batch(batch);
    testing::RunRanks(1, [&](Collective& rank) {
      const RecipeContext context{
          .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "evaluate", .world = rank, .recording = {}};
      const auto network = MakeInitialNetwork(context, 0, torch::kFloat32).value();
      network->eval();
      StaticEvaluation evaluation(spec_, list->faces, *network);
      std::size_t samples = 0;
      for (std::size_t i = 0; i < evaluation.batches(); ++i) samples += evaluation.RunBatch(i, rank).value();
      EXPECT_EQ(samples, list->faces.size()) << "batch " << batch;
    });
  }
}

TEST_F(SupervisedRecipeTest, PastMaxNonfiniteItEndsWith65) {
  testing::RunRanks(2, [&](Collective& ranks) {
    const RecipeContext context{
        .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "finetune", .world = ranks, .recording = {}};
    SupervisedPlan plan{.batch = 8,
                        .schedule = {.base = std::numeric_limits<double>::infinity(), .total_steps = 100},
                        .optimizer = {},
                        .label_smoothing = 0.1,
                        .subjects = {{"sound", [&] { return MakeInitialNetwork(context, 0, torch::kFloat32); }}},
                        .batch_key = "finetune.batch"};
    const auto recipe = MakeSupervisedRecipe(context, std::move(plan));
    testing::RecordedRunClient client;
    const Status failed = TrainerLoop(*recipe, context, client, {.max_nonfinite = 2}).Run();
    EXPECT_EQ(failed.exit_code(), exit_code::kBadData) << failed.ToString();
    EXPECT_NE(failed.message().find("steps=3 max_nonfinite=2 last_step=2"), std::string::npos) << failed.ToString();
    EXPECT_EQ(failed.message().find("replay"), std::string::npos) << failed.ToString();
  });
}

}  // namespace
}  // namespace ferment::worker
