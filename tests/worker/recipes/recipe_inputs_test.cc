// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "worker/collective/thread_collective.h"
#include "worker/recipes/evaluation/evaluate_recipe.h"
#include "worker/recipes/finetune_recipe.h"
#include "worker/recipes/published_models.h"
#include "worker/recipes/teacher_recipe.h"
#include "worker/recipes/temporal_recipe.h"

namespace ferment::worker {
namespace {

/// A run of two rounds with videos whose jobs have published digests such as "cotrain-1/student".
class RecipeInputsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(layout_.root());
    spec_.mutable_cotrain()->set_rounds(2);
    spec_.mutable_data()->mutable_videos()->set_path("videos");
    spec_.mutable_temporal()->set_encoder("gru");
    Publish("teacher", {"teacher"});
    for (const char* job : {"cotrain", "cotrain-1"}) Publish(job, {"teacher", "student", "student_raw"});
    Publish("finetune", {"student", "baseline"});
    Publish("temporal",
            {"temporal_student_gru", "temporal_student_none", "temporal_teacher_gru", "temporal_teacher_none"});
  }
  void TearDown() override { std::filesystem::remove_all(layout_.root()); }

  void Publish(const std::string& job, const std::vector<std::string>& roles) const {
    Json models = Json::array();
    for (const std::string& role : roles)
      models.push_back({{"role", role}, {"file", "none"}, {"sha256", job + "/" + role}});
    ASSERT_TRUE(io::CreateFolders(layout_.Job(job)).ok());
    ASSERT_TRUE(io::WriteFileAtomically(layout_.Result(job), Json{{"models", models}}.dump()).ok());
  }
  JobInputs InputsOf(std::unique_ptr<Recipe> (*make)(const RecipeContext&)) const {
    const auto alone = MakeSingleCollective();
    const RecipeContext context{.spec = spec_, .layout = layout_, .phase = "any", .world = *alone, .recording = {}};
    return make(context)->Inputs();
  }

  const RunLayout layout_{std::filesystem::path(::testing::TempDir()) / ("recipe-inputs-" + std::to_string(getpid()))};
  RunSpec spec_;
};

TEST_F(RecipeInputsTest, AreTheNetworksThatThePhaseLoads) {
  EXPECT_EQ(InputsOf(MakeTeacherRecipe), JobInputs());
  EXPECT_EQ(InputsOf(MakeFinetuneRecipe),
            (JobInputs{{"student", "cotrain-1/student"}, {"baseline", "teacher/teacher"}}));
  EXPECT_EQ(InputsOf(MakeTemporalRecipe),
            (JobInputs{{"student", "finetune/student"}, {"teacher", "finetune/baseline"}}));
  JobInputs evaluated = {{"teacher", "finetune/baseline"},
                         {"student_before_finetune", "cotrain-1/student"},
                         {"student", "finetune/student"}};
  for (const char* role :
       {"temporal_student_gru", "temporal_student_none", "temporal_teacher_gru", "temporal_teacher_none"})
    evaluated[role] = std::string("temporal/") + role;
  EXPECT_EQ(InputsOf(MakeEvaluateRecipe), evaluated);
}

TEST_F(RecipeInputsTest, KeepTheirNamesWhereALaterRoundIsLeftOut) {
  std::filesystem::remove(layout_.Result("cotrain-1"));
  EXPECT_EQ(InputsOf(MakeFinetuneRecipe).at("student"), "cotrain/student");
}

TEST_F(RecipeInputsTest, AreAlsoTheFilesThatNoJobHasMade) {
  const auto write = [this](const std::string& name, const std::string& text) {
    EXPECT_TRUE(io::WriteFileAtomically(layout_.root() / name, text).ok());
    return io::Sha256Hex(text);
  };
  spec_.mutable_model()->set_init((layout_.root() / "weights.pt").string());
  for (const char* list : {"", "more.csv"}) {
    v1::FerSpec& source = *spec_.mutable_data()->add_fer();
    source.set_path(layout_.root().string());
    source.set_train(list);
  }
  JobInputs trained = {{"model.init", write("weights.pt", "w")},
                       {"data.fer.train", write("train.csv", "t")},
                       {"data.fer[1].train", write("more.csv", "m")}};
  const JobInputs validated = {{"data.fer.validation", write("val.csv", "v")},
                               {"data.fer[1].validation", io::Sha256Hex("v")}};
  EXPECT_EQ(InputsOf(MakeTeacherRecipe), trained);
  trained["model.init"] = write("weights.pt", "others");
  EXPECT_EQ(InputsOf(MakeTeacherRecipe), trained) << "replaced under its name";
  spec_.mutable_model()->set_init("random");
  trained.erase("model.init");
  EXPECT_EQ(InputsOf(MakeTeacherRecipe), trained);

  const auto of_files = [](JobInputs inputs) {
    std::erase_if(inputs, [](const auto& input) { return !input.first.starts_with("data."); });
    return inputs;
  };
  EXPECT_EQ(of_files(InputsOf(MakeFinetuneRecipe)), trained);
  JobInputs both = trained;
  both.insert(validated.begin(), validated.end());
  EXPECT_EQ(of_files(InputsOf(MakeEvaluateRecipe)), both) << "the report says of the training list how many it has";
  spec_.mutable_evaluate()->set_select("best");
  EXPECT_EQ(of_files(InputsOf(MakeFinetuneRecipe)), both) << "which network is published hangs on them";
  EXPECT_EQ(of_files(InputsOf(MakeTemporalRecipe)), JobInputs());
}

TEST_F(RecipeInputsTest, AreLeftOutWhereTheyAreNotThere) {
  Publish("finetune", {"student"});
  std::filesystem::remove(layout_.Result("temporal"));
  EXPECT_EQ(InputsOf(MakeTemporalRecipe), (JobInputs{{"student", "finetune/student"}}));
  EXPECT_EQ(InputsOf(MakeEvaluateRecipe),
            (JobInputs{{"student_before_finetune", "cotrain-1/student"}, {"student", "finetune/student"}}));
}

}  // namespace
}  // namespace ferment::worker
