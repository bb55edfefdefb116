// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "tests/support/recorded_run_client.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
#include "worker/train/checkpoint_folder.h"
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
Status Train(const RunSpec& spec, const std::filesystem::path& run, RunClient& client,
             const TrainerLoopOptions& options = {.checkpoint_every = 2}) {
  Status status;
  testing::RunRanks(static_cast<int>(spec.resources().ranks()), [&](Collective& world) {
    const RecipeContext context{
        .spec = spec, .layout = RunLayout(run), .phase = "cotrain", .world = world, .from_init = true, .recording = {}};
    const auto recipe = MakeCotrainRecipe(context);
    testing::RecordedRunClient deaf;
    const bool leads = world.rank() == 0;
    const Status own = TrainerLoop(*recipe, context, leads ? client : deaf, options).Run();
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
    EXPECT_EQ(SavedScalars("whole"), SavedScalars("resumed"));
    for (auto* client : {&whole, &second}) {
      std::erase_if(client->completed[0].last.metrics, [](const auto& figure) {
        return figure.first == "samples_per_second" || figure.first.starts_with("checkpoint_");  // times
      });
    }
    EXPECT_EQ(whole.completed[0].last.metrics, second.completed[0].last.metrics);
    EXPECT_EQ(whole.completed[0].last.metrics.at("nonfinite"), 0);
  }

  /// Of the last checkpoint.
  Json SavedScalars(const std::string& run) const {
    const auto saved = CheckpointFolder(RunLayout(folder_ / run).Checkpoints("cotrain")).Newest();
    return saved && *saved ? (*saved)->scalars : Json();
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

// The class status has to come back too.
TEST_F(CotrainRecipeTest, SoDoesOneUnderClassThresholds) {
  spec_.mutable_cotrain()->mutable_pseudo_label()->set_threshold_rule("dynamic");
  spec_.mutable_cotrain()->set_threshold(0.3);
  spec_.mutable_cotrain()->set_student_mask(true);
  ExpectSameBitsAfterAStop();
  const Json status = SavedScalars("whole").at("recipe").at("class_status");
  EXPECT_EQ(status.at("labelled").size(), 8U);
  EXPECT_NE(status.at("labelled"), status.at("confident"));
}

TEST_F(CotrainRecipeTest, SoDoesOneInBFloat16) {
  spec_.mutable_cotrain()->set_dtype("bfloat16");
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

TEST_F(CotrainRecipeTest, ReportsTheCosineWhereItIsTheFormAndCountsWhatWasDropped) {
  spec_.mutable_cotrain()->mutable_feedback()->set_start_step(3);
  testing::RecordedRunClient first_order;
  ASSERT_TRUE(Train(spec_, folder_ / "first-order", first_order).ok());
  EXPECT_EQ(first_order.completed.at(0).last.metrics.at("feedback_dropped_before_start"), 3);
  EXPECT_FALSE(first_order.completed.at(0).last.metrics.contains("feedback_cosine"));
  EXPECT_FALSE(first_order.completed.at(0).last.distributions.contains("label_staleness")) << "no label sets";

  spec_.mutable_cotrain()->mutable_feedback()->set_form("cosine");
  testing::RecordedRunClient cosine;
  ASSERT_TRUE(Train(spec_, folder_ / "cosine", cosine).ok());
  const auto& figures = cosine.completed.at(0).last.metrics;
  EXPECT_EQ(figures.at("feedback_cosine"), figures.at("h_raw"));
  EXPECT_NE(figures.at("feedback_cosine"), 0);
  EXPECT_LE(std::abs(figures.at("feedback_cosine")), 1);
}

/// Steps so long that the numbers soon leave float32.
class CotrainNonfiniteTest : public CotrainRecipeTest {
 protected:
  void SetUp() override {
    CotrainRecipeTest::SetUp();
    auto& cotrain = *spec_.mutable_cotrain();
    cotrain.set_steps(200);
    cotrain.set_warmup_steps(0);
    cotrain.set_lr_teacher(100);
    cotrain.set_lr_student(100);
    cotrain.set_weight_decay(1);
  }

  /// Trains past two steps that are not finite. Returns: the folder of the last of them.
  std::filesystem::path ExpectRecord() {
    testing::RecordedRunClient client;
    const auto run = folder_ / ("run-" + std::to_string(spec_.resources().ranks()) + spec_.cotrain().placement());
    const Status failed = Train(spec_, run, client, {.max_nonfinite = 1});
    EXPECT_EQ(failed.exit_code(), exit_code::kBadData) << failed.ToString();
    EXPECT_TRUE(client.completed.empty());
    std::vector<std::filesystem::path> folders;
    for (const auto& entry : std::filesystem::directory_iterator(run / "phases" / "cotrain")) {
      if (entry.path().filename().string().starts_with("nonfinite-")) folders.push_back(entry.path());
    }
    EXPECT_EQ(folders.size(), 1U) << failed.ToString();
    if (folders.size() != 1) return {};
    const std::string step = folders[0].filename().string().substr(10);
    EXPECT_NE(failed.message().find("last_step=" + step), std::string::npos) << failed.ToString();
    EXPECT_NE(failed.message().find("replay_step.py " + folders[0].string()), std::string::npos) << failed.ToString();
    return folders[0];
  }
};

TEST_F(CotrainNonfiniteTest, PastMaxNonfiniteTheLastStepIsRecordedWithWhatItRead) {
  for (const int ranks : {1, 2, 3}) {
    SCOPED_TRACE(ranks);
    if (ranks < 3) {
      spec_.mutable_resources()->set_ranks(static_cast<std::uint32_t>(ranks));
    } else {
      Split(1, 2);
    }
    const auto folder = ExpectRecord();
    ASSERT_FALSE(folder.empty());
    std::ifstream file(folder / "step.json");
    std::stringstream text;
    text << file.rdbuf();
    const Json step = ParseJson(text.str()).value();
    EXPECT_EQ(step.at("world_size"), ranks);
    EXPECT_EQ(std::to_string(step.at("step").get<int>()), folder.filename().string().substr(10));
    const std::string part = step.at("undone");
    EXPECT_TRUE(part == "labels" || part == "student" || part == "teacher") << part;
    EXPECT_EQ(step.at("scalars").at("L_old").is_null(), part != "teacher");
    for (const std::string stem : {"teacher", "student", "ema", "optimizer"}) {
      const auto before = nn::LoadTensors(folder / (stem + "_before.safetensors"));
      const auto after = nn::LoadTensors(folder / (stem + "_after.safetensors"));
      ASSERT_TRUE(before && after) << stem;
      EXPECT_FALSE(before->empty()) << stem;
      ASSERT_EQ(before->size(), after->size()) << stem;
      for (std::size_t i = 0; i < before->size(); ++i) {
        EXPECT_TRUE(torch::isfinite((*before)[i].second).all().item<bool>()) << stem << " " << (*before)[i].first;
        EXPECT_TRUE(torch::equal((*before)[i].second, (*after)[i].second)) << stem << " " << (*before)[i].first;
      }
    }
    const auto batch = nn::LoadTensors(folder / "batch.safetensors");
    ASSERT_TRUE(batch);
    for (const auto& [name, tensor] : *batch) {
      const bool labelled = name == "x_l" || name == "y_l";
      EXPECT_EQ(tensor.size(0), labelled ? 4 : 8) << name;
    }
    EXPECT_EQ(batch->size(), 9U);
    EXPECT_TRUE(nn::LoadTensors(folder / "gradients.safetensors"));
  }
}

TEST_F(CotrainNonfiniteTest, WhereTheReplayDoesNotKnowTheStepTheMessageSaysWhy) {
  Split(1, 1);
  spec_.mutable_cotrain()->mutable_feedback()->set_max_lag(1);
  testing::RecordedRunClient client;
  const Status failed = Train(spec_, folder_ / "late", client, {.max_nonfinite = 0});
  EXPECT_EQ(failed.exit_code(), exit_code::kBadData) << failed.ToString();
  EXPECT_NE(failed.message().find("not recorded: cannot record a step"), std::string::npos) << failed.ToString();
}

}  // namespace
}  // namespace ferment::worker
