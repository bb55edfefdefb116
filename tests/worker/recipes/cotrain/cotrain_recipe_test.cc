// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_recipe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "tests/worker/recipes/cotrain/cotrain_job_test.h"

namespace ferment::worker {
namespace {

class CotrainRecipeTest : public CotrainJobTest {};

TEST_F(CotrainRecipeTest, ReportsTheCosineWhereItIsTheFormAndCountsWhatWasDropped) {
  spec_.mutable_cotrain()->mutable_feedback()->set_start_step(3);
  testing::RecordedRunClient first_order;
  ASSERT_TRUE(Train("first-order", first_order).ok());
  EXPECT_EQ(first_order.completed.at(0).last.metrics.at("feedback_dropped_before_start"), 3);
  EXPECT_FALSE(first_order.completed.at(0).last.metrics.contains("feedback_cosine"));
  EXPECT_FALSE(first_order.completed.at(0).last.distributions.contains("label_staleness")) << "no label sets";

  spec_.mutable_cotrain()->mutable_feedback()->set_form("cosine");
  testing::RecordedRunClient cosine;
  ASSERT_TRUE(Train("cosine", cosine).ok());
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
    const auto run = "run-" + std::to_string(spec_.resources().ranks()) + spec_.cotrain().placement();
    const Status failed = Train(run, client, {.max_nonfinite = 1});
    EXPECT_EQ(failed.exit_code(), exit_code::kBadData) << failed.ToString();
    EXPECT_TRUE(client.completed.empty());
    std::vector<std::filesystem::path> folders;
    for (const auto& entry : std::filesystem::directory_iterator(Layout(run).Job("cotrain"))) {
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
  const Status failed = Train("late", client, {.max_nonfinite = 0});
  EXPECT_EQ(failed.exit_code(), exit_code::kBadData) << failed.ToString();
  EXPECT_NE(failed.message().find("not recorded: cannot record a step"), std::string::npos) << failed.ToString();
}

}  // namespace
}  // namespace ferment::worker
