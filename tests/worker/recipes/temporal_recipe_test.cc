// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/temporal_recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <vector>

#include "common/dataset/records/open_sources.h"
#include "common/dataset/videos/feature_set.h"
#include "common/dataset/videos/video_list.h"
#include "common/io/atomic_file.h"
#include "tests/support/recorded_run_client.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
#include "worker/collective/thread_collective.h"
#include "worker/feed/clip_feed.h"
#include "worker/recipes/temporal_stage.h"
#include "worker/train/trainer_loop.h"

namespace ferment::worker {
namespace {

constexpr std::size_t kFeatures = 6;

torch::Tensor Flat(const RecipeState& state) {
  std::vector<torch::Tensor> parts;
  for (const auto& [stem, tensors] : state.tensors)
    for (const auto& [name, tensor] : tensors) parts.push_back(tensor.flatten().to(torch::kFloat64));
  return torch::cat(parts).detach().clone();
}

bool Same(const NamedModel& a, const NamedModel& b) {
  return std::equal(
      a.tensors.begin(), a.tensors.end(), b.tensors.begin(), b.tensors.end(),
      [](const auto& x, const auto& y) { return x.first == y.first && torch::equal(x.second, y.second); });
}

/// A run that has come as far as the features, which are made up.
class TemporalRecipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::set_num_threads(1);
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *std::move(spec);
    auto& temporal = *spec_.mutable_temporal();
    temporal.set_d_model(8);
    temporal.set_layers(1);
    temporal.set_heads(2);
    temporal.set_feed_forward(8);
    temporal.set_window(8);
    temporal.set_hop(4);
    temporal.set_batch(4);
    temporal.set_steps(20);
    Json models = Json::array();
    for (const char* role : {"student", "baseline"})
      models.push_back({{"role", role}, {"file", "none"}, {"sha256", Digest(role)}});
    ASSERT_TRUE(io::CreateFolders(layout_.Job("finetune")).ok());
    ASSERT_TRUE(io::WriteFileAtomically(layout_.Result("finetune"), Json{{"models", models}}.dump()).ok());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string Digest(const std::string& role) { return std::string(64, role == "student" ? 'a' : 'b'); }

  /// Writes features of every video, with `first` in the first number of each frame.
  void WriteFeatures(float first) const {
    const auto videos = dataset::LoadVideos(spec_);
    ASSERT_TRUE(videos) << videos.error().ToString();
    const std::string dataset = dataset::DatasetName(spec_.data().videos().path());
    for (const char* role : {"student", "baseline"}) {
      const auto into = layout_.Features(dataset, Digest(role));
      ASSERT_TRUE(io::CreateFolders(into).ok());
      for (const dataset::Video& video : *videos) {
        dataset::FeatureSet set;
        set.dataset = dataset;
        set.video = video.name;
        set.model = Digest(role);
        set.classes.assign(spec_.classes().begin(), spec_.classes().end());
        for (const auto frame : video.frames_with_image) {
          set.frame.push_back(static_cast<std::uint32_t>(frame));
          for (std::size_t i = 0; i < kFeatures; ++i)
            set.features.push_back(i == 0 ? first : std::sin(static_cast<float>(frame) * static_cast<float>(i)));
          set.logits.insert(set.logits.end(), set.classes.size(), 0.0F);
        }
        const auto bytes = dataset::FeatureSetBytes(set);
        ASSERT_TRUE(io::WriteFileAtomically(into / (video.name + ".npz"), bytes).ok());
      }
    }
  }
  RecipeContext Context(Collective& world) const {
    return {.spec = spec_, .layout = layout_, .phase = "temporal", .world = world, .recording = {}};
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("temporal-" + std::to_string(getpid()));
  const RunLayout layout_{folder_ / "run"};
  RunSpec spec_;
};

TEST_F(TemporalRecipeTest, AStepWhoseLossIsNotFiniteChangesNothingOnAnyRank) {
  for (const float first : {std::numeric_limits<float>::quiet_NaN(), 1.0F}) {
    WriteFeatures(first);
    for (const int count : {1, 2}) {
      testing::RunRanks(count, [&](Collective& ranks) {
        const RecipeContext context = Context(ranks);
        const auto recipe = MakeTemporalRecipe(context);
        const Status prepared = recipe->Prepare();
        ASSERT_TRUE(prepared.ok()) << prepared.ToString();
        const torch::Tensor before = Flat(recipe->State().value());
        for (const std::uint64_t step : {0, 1}) {
          const auto figures = recipe->Step(step);
          ASSERT_TRUE(figures) << figures.error().ToString();
          EXPECT_EQ(figures->finite, std::isfinite(first)) << "rank " << ranks.rank();
        }
        EXPECT_EQ(torch::equal(before, Flat(recipe->State().value())), !std::isfinite(first))
            << "rank " << ranks.rank();
      });
    }
  }
}

TEST_F(TemporalRecipeTest, FiguresAreNotMadeOfNoLabelledFrame) {
  WriteFeatures(1);
  std::vector<Clip> clips = *LoadClips(spec_, layout_, Digest("student"));
  EXPECT_TRUE(CheckValidated(clips).ok());
  for (Clip& clip : clips)
    if (clip.set == dataset::VideoSet::kValidation) std::ranges::fill(clip.labels, -1);
  const Status status = CheckValidated(clips);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kBadData) << status.ToString();
}

TEST_F(TemporalRecipeTest, FeaturesOfAnotherVideoAreRefused) {
  WriteFeatures(1);
  const auto videos = dataset::LoadVideos(spec_);
  const auto folder = layout_.Features(dataset::DatasetName(spec_.data().videos().path()), Digest("student"));
  const auto file = folder / (videos->at(1).name + ".npz");
  std::filesystem::copy_file(folder / (videos->at(0).name + ".npz"), file,
                             std::filesystem::copy_options::overwrite_existing);
  testing::RunRanks(1, [&](Collective& rank) {
    const RecipeContext context = Context(rank);
    EXPECT_EQ(MakeTemporalRecipe(context)->Prepare(),
              DataLossError("features are another video's: file=" + file.string() + " video=" + videos->at(0).name));
  });
}

TEST_F(TemporalRecipeTest, AnyNumberOfRanksTakesTheSameStepsAlsoUnderDropout) {
  WriteFeatures(1.0F);
  spec_.mutable_temporal()->set_dropout(0.3);
  // No weights: AdamW takes whole steps along gradients that are rounding alone, as those of the keys' bias are.
  std::vector<std::vector<double>> losses(3);
  for (const int count : {1, 2, 3}) {
    testing::RunRanks(count, [&](Collective& ranks) {
      const RecipeContext context = Context(ranks);
      const auto recipe = MakeTemporalRecipe(context);
      ASSERT_TRUE(recipe->Prepare().ok());
      ASSERT_TRUE(ranks.Barrier().ok());  // a step seeds the generator of which others still draw their weights
      for (const std::uint64_t step : {0, 1, 2, 3}) {
        const auto figures = recipe->Step(step);
        ASSERT_TRUE(figures) << figures.error().ToString();
        if (ranks.rank() == 0) losses[static_cast<std::size_t>(count - 1)].push_back(figures->values.at("loss"));
      }
    });
  }
  for (const std::size_t more : {1U, 2U}) {
    for (std::size_t step = 0; step < 4; ++step) {
      EXPECT_NEAR(losses[more].at(step), losses[0].at(step), 1e-5) << more + 1 << " ranks, step " << step;
    }
  }
}

TEST_F(TemporalRecipeTest, TheBestOfEachEncoderIsPublishedAlsoAfterAResumeAndTrainingIsTheSame) {
  WriteFeatures(1.0F);
  constexpr std::uint64_t kSteps = 50;
  spec_.mutable_temporal()->set_steps(kSteps);
  /// Returns: what is published, where after `stop` steps another recipe goes on; last validations by stage in `seen`.
  const auto train = [&](const char* select, std::uint64_t stop, std::vector<std::map<double, double>>* seen) {
    spec_.mutable_evaluate()->set_select(select);
    RecipeResult result;
    testing::RunRanks(1, [&](Collective& ranks) {
      const RecipeContext context = Context(ranks);
      auto recipe = MakeTemporalRecipe(context);
      ASSERT_TRUE(recipe->Prepare().ok());
      const std::uint64_t total = recipe->total_steps();
      if (seen != nullptr) seen->resize(total / kSteps);
      for (std::uint64_t step = 0; step < total; ++step) {
        if (step == stop) {
          const RecipeState state = recipe->State().value();
          recipe = MakeTemporalRecipe(context);
          ASSERT_TRUE(recipe->Prepare().ok());
          ASSERT_TRUE(recipe->Restore(state, step).ok());
        }
        const auto figures = recipe->Step(step);
        ASSERT_TRUE(figures) << figures.error().ToString();
        const auto f1 = figures->values.find("macro_f1");
        if (seen != nullptr && f1 != figures->values.end())
          (*seen)[step / kSteps][static_cast<double>(step % kSteps + 1)] = f1->second;
      }
      result = recipe->Finish().value();
    });
    return result;
  };
  std::vector<std::map<double, double>> seen;
  const RecipeResult best = train("best", 0, &seen);
  const RecipeResult last = train("last", 0, nullptr);
  std::size_t earlier = 0;
  const auto stages = TemporalStages(spec_);
  ASSERT_EQ(best.models.size(), stages.size());
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::string name = stages[i].features + "_" + stages[i].encoder;
    ASSERT_EQ(seen[i].size(), 4U);
    seen[i][kSteps] = last.metrics.at("macro_f1_" + name);
    double steps = 0;
    double macro_f1 = -1;
    for (const auto& [at, f1] : seen[i]) {
      if (f1 > macro_f1) std::tie(steps, macro_f1) = std::tie(at, f1);
    }
    EXPECT_EQ(best.metrics.at("macro_f1_" + name), macro_f1) << name;
    EXPECT_EQ(best.metrics.at("best_step_" + name), steps) << name;
    EXPECT_EQ(Same(best.models[i], last.models[i]), steps == kSteps) << name;
    if (steps < kSteps) ++earlier;
  }
  EXPECT_GT(earlier, 0U) << "the last were the best: this shows nothing";
  const RecipeResult resumed = train("best", kSteps + 33, nullptr);
  EXPECT_EQ(resumed.metrics, best.metrics);
  for (std::size_t i = 0; i < stages.size(); ++i) EXPECT_TRUE(Same(resumed.models[i], best.models[i])) << i;
}

TEST_F(TemporalRecipeTest, ACheckpointThatLacksSomethingOrHasItInAnotherTypeIsRefusedAndNotAnException) {
  WriteFeatures(0.5F);
  const auto alone = MakeSingleCollective();
  const RecipeContext context = Context(*alone);
  const auto recipe = MakeTemporalRecipe(context);
  ASSERT_TRUE(recipe->Prepare().ok());
  const RecipeState whole = *recipe->State();
  EXPECT_TRUE(recipe->Restore(whole, 0).ok());
  std::vector<RecipeState> damaged;
  for (const char* stem : {"encoder", "optimizer"}) {
    damaged.push_back(whole);
    damaged.back().tensors.erase(stem);
  }
  for (const char* key : {"stage", "optimizer_steps"}) {
    for (const Json& value : {Json("0"), Json(-1), Json()}) {
      damaged.push_back(whole);
      damaged.back().scalars[key] = value;
    }
  }
  damaged.push_back(whole);
  damaged.back().scalars["metrics"] = {{"macro_f1", "0.5"}};
  damaged.push_back(whole);
  damaged.back().scalars["stage"] = 99;
  for (const RecipeState& state : damaged) {
    const Status refused = recipe->Restore(state, 0);
    EXPECT_EQ(refused.code(), StatusCode::kDataLoss) << refused.ToString() << " " << state.scalars;
  }
}

TEST_F(TemporalRecipeTest, PastMaxNonfiniteItEndsWith65) {
  WriteFeatures(std::numeric_limits<float>::infinity());
  testing::RunRanks(2, [&](Collective& ranks) {
    const RecipeContext context = Context(ranks);
    const auto recipe = MakeTemporalRecipe(context);
    testing::RecordedRunClient client;
    const Status failed = TrainerLoop(*recipe, context, client, {.max_nonfinite = 2}).Run();
    EXPECT_EQ(failed.exit_code(), exit_code::kBadData) << failed.ToString();
    EXPECT_NE(failed.message().find("steps=3 max_nonfinite=2 last_step=2"), std::string::npos) << failed.ToString();
    EXPECT_EQ(failed.message().find("replay"), std::string::npos) << failed.ToString();
  });
}

}  // namespace
}  // namespace ferment::worker
