// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "common/dataset/labels/label_index.h"
#include "common/dataset/records/open_sources.h"
#include "tests/support/recorded_run_client.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/run_ranks.h"
#include "worker/recipes/cotrain/cotrain_recipe.h"
#include "worker/recipes/published_models.h"
#include "worker/recipes/teacher_recipe.h"
#include "worker/train/trainer_loop.h"

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
                                  .layout = layout_,
                                  .phase = "cotrain",
                                  .world = world,
                                  .from_init = from_init_,
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

  /// Compares a job at a stretch on one rank with one of four lives on one to three ranks. Returns: the former's
  /// batches.
  std::vector<Tensors> ExpectTheSameFacesOnOtherRanks(const std::vector<const char*>& names) const {
    std::vector<Tensors> batches;
    RecipeState state;
    for (const Stretch& stretch : {Stretch{1, 0, 2}, Stretch{2, 2, 4}, Stretch{3, 4, 6}, Stretch{1, 6, 8}}) {
      RecipeState next;
      for (std::uint64_t step = stretch.begin; step < stretch.end; ++step) {
        SCOPED_TRACE(::testing::Message() << "step " << step << " on " << stretch.ranks << " ranks");
        next = Make(stretch, state, step, folder_ / "resumed");
        Make({1, 0, step + 1}, {}, step, folder_ / "whole");
        const Tensors resumed = BatchOf(folder_ / "resumed");
        const Tensors whole = BatchOf(folder_ / "whole");
        for (const char* name : names) EXPECT_TRUE(torch::equal(resumed.at(name), whole.at(name))) << name;
        EXPECT_FALSE(!batches.empty() && torch::equal(batches.back().at("key"), whole.at("key")));
        batches.push_back(whole);
      }
      state = next;
    }
    return batches;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("cotrain-order-" + std::to_string(getpid()));
  const RunLayout layout_{folder_ / "run"};
  bool from_init_ = true;
  RunSpec spec_;
};

/// As a real run draws them: from the label sets of its own teacher.
class CotrainLabelledOrderTest : public CotrainOrderTest {
 protected:
  void SetUp() override {
    CotrainOrderTest::SetUp();
    from_init_ = false;
    spec_.mutable_cotrain()->mutable_pseudo_label()->set_source("offline");
    testing::RunRanks(1, [&](Collective& world) {
      const RecipeContext context{
          .spec = spec_, .layout = layout_, .phase = "teacher", .world = world, .recording = {}};
      const auto recipe = MakeTeacherRecipe(context);
      testing::RecordedRunClient client;
      const Status trained = TrainerLoop(*recipe, context, client, {}).Run();
      ASSERT_TRUE(trained.ok()) << trained.ToString();
    });
    WriteLabels();
  }

  /// Of four classes, half of the faces of the first; every sixth face was not accepted.
  void WriteLabels() {
    const auto models = PublishedModels::Read(layout_, "teacher");
    ASSERT_TRUE(models);
    dataset::LabelSet set;
    set.origin = {dataset::DatasetName(spec_.data().fr().path()), models->Digest("teacher").value(),
                  dataset::LabelConfigDigest(spec_, dataset::PlanInUse(spec_), "avx2")};
    set.classes.assign(spec_.classes().begin(), spec_.classes().end());
    const auto source = dataset::OpenFr(spec_);
    ASSERT_TRUE(source);
    for (std::uint64_t i = 0; i < (*source)->size(); ++i) {
      const bool accepted = i % 6 != 5;
      const std::uint64_t label = i % 2 == 0 ? 0 : 1 + i / 6 % 3;
      set.key.push_back((*source)->KeyAt(i));
      set.label.push_back(static_cast<std::uint8_t>(label));
      set.confidence_half.push_back(0x3c00);
      set.probabilities_half.insert(set.probabilities_half.end(), set.classes.size(), 0);
      set.status.push_back(accepted ? dataset::LabelStatus::kLabelled : dataset::LabelStatus::kAbstained);
      if (accepted) label_of_[static_cast<std::int64_t>(set.key.back())] = static_cast<std::int64_t>(label);
    }
    const auto into = layout_.LabelSets(set.origin.dataset, set.origin.teacher, set.origin.label_config);
    const auto file = dataset::WriteLabelSet(into, set);
    ASSERT_TRUE(file) << file.error().ToString();
    ASSERT_TRUE(dataset::CommitToLabelIndex(into, 0, *file));
  }

  std::map<std::int64_t, std::int64_t> label_of_;  // by key, of what was accepted
};

// Every draw wraps round the records, so that the epochs and their orders are among what must come back.
TEST_F(CotrainOrderTest, AJobThatGoesOnWithOtherRanksSeesTheSameFacesInTheSameOrder) {
  ExpectTheSameFacesOnOtherRanks({"key", "y_l", "x_l", "x_u_weak", "x_u_strong"});
}

TEST_F(CotrainLabelledOrderTest, SoDoesOneThatDrawsByPseudoLabels) {
  for (const std::string sampling : {"class_balanced", "accepted"}) {
    SCOPED_TRACE(sampling);
    spec_.mutable_cotrain()->mutable_pseudo_label()->set_fr_sampling(sampling);
    const auto batches = ExpectTheSameFacesOnOtherRanks({"key", "y_hat", "y_l", "x_l", "x_u_weak", "x_u_strong"});
    for (const Tensors& batch : batches) {
      std::map<std::int64_t, int> faces;
      for (std::int64_t i = 0; i < batch.at("key").numel(); ++i) {
        const auto label = batch.at("y_hat")[i].item<std::int64_t>();
        ++faces[label];
        const auto accepted = label_of_.find(batch.at("key")[i].item<std::int64_t>());
        ASSERT_NE(accepted, label_of_.end());
        EXPECT_EQ(label, accepted->second);
      }
      const bool alike = std::ranges::all_of(faces, [](const auto& of_class) { return of_class.second == 3; });
      EXPECT_EQ(alike && faces.size() == 4, sampling == "class_balanced");
    }
  }
}

}  // namespace
}  // namespace ferment::worker
