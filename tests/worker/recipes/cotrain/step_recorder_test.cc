// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/step_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "common/config/spec_defaults.h"
#include "common/dataset/expression.h"
#include "common/dataset/synthetic/synthetic_set.h"
#include "tests/support/run_ranks.h"
#include "worker/recipes/cotrain/cotrain_recipe.h"

namespace ferment::worker {
namespace {

using testing::RunRanks;

std::filesystem::path Scratch(const std::string& name) {
  return std::filesystem::path(::testing::TempDir()) / ("recorder_" + name);
}

/// A network, a set and a run that take seconds.
RunSpec TinySpec() {
  RunSpec spec;
  spec.set_name("tiny");
  spec.set_seed(5);
  for (const std::string_view name : dataset::kExpressionNames) spec.add_classes(std::string(name));
  auto& sizes = *spec.mutable_data()->mutable_synthetic();
  sizes.set_faces_train(16);
  sizes.set_faces_validation(8);
  sizes.set_fr_records(40);
  sizes.set_identities(8);
  sizes.set_videos_train(1);
  sizes.set_videos_validation(1);
  sizes.set_videos_test(0);
  sizes.set_frames(16);
  sizes.set_image_size(32);
  spec.mutable_model()->set_backbone("resnet18");
  spec.mutable_model()->set_width(8);
  spec.mutable_model()->set_image_size(32);
  spec.mutable_cotrain()->set_steps(3);
  spec.mutable_cotrain()->set_batch(8);
  spec.mutable_cotrain()->set_mu(2);
  spec.mutable_cotrain()->set_threshold(0.1);
  FillDefaults(spec);
  const auto folder = Scratch("data");
  const Status rendered = dataset::RenderSyntheticSets(spec, folder);
  EXPECT_TRUE(rendered.ok()) << rendered.ToString();
  dataset::UseSyntheticSets(spec, folder);
  return spec;
}

struct Outcome {
  Status status;
  NamedTensors student;
};

/// Co-trains from fresh networks, and records `step` into `folder` unless that is empty. Rank 0 calls `prepared`.
Outcome CoTrain(
    const RunSpec& spec, int ranks, const std::filesystem::path& folder, std::uint64_t step = 1,
    const std::function<void()>& prepared = [] {}) {
  if (!folder.empty()) std::filesystem::remove_all(folder);
  Outcome outcome;
  RunRanks(ranks, [&](Collective& world) {
    const RecipeContext context = {
        .spec = spec,
        .layout = RunLayout(Scratch("run")),
        .phase = "cotrain",
        .world = world,
        .from_init = true,
        .recording = folder.empty() ? std::nullopt : std::optional(StepRecording{.step = step, .folder = folder})};
    const auto recipe = MakeCotrainRecipe(context);
    Status status = CheckRecordable(context);
    if (status.ok()) status = recipe->Prepare();
    if (world.rank() == 0) prepared();
    for (std::uint64_t s = 0; status.ok() && s < recipe->total_steps(); ++s) {
      const auto figures = recipe->Step(s);
      if (!figures) status = figures.error();
    }
    const auto state = status.ok() ? recipe->State() : Result<RecipeState>(Fail(status));
    if (world.rank() > 0) return;
    outcome.status = status;
    if (!state) return;
    for (const auto& [name, tensor] : state->tensors.at("student"))
      outcome.student.emplace_back(name, tensor.detach().clone());
  });
  return outcome;
}

std::map<std::string, torch::Tensor> Read(const std::filesystem::path& file) {
  const auto tensors = nn::LoadTensors(file);
  EXPECT_TRUE(tensors) << file;
  return tensors ? std::map<std::string, torch::Tensor>(tensors->begin(), tensors->end())
                 : std::map<std::string, torch::Tensor>();
}

Json ReadStep(const std::filesystem::path& folder) {
  std::ifstream file(folder / "step.json");
  std::stringstream text;
  text << file.rdbuf();
  return ParseJson(text.str()).value_or(Json());
}

const std::vector<std::string> kStems = {
    "batch",         "gradients",  "teacher_before", "teacher_after",    "student_before",
    "student_after", "ema_before", "ema_after",      "optimizer_before", "optimizer_after"};

TEST(StepRecorder, WritesTheWholeFolderOnce) {
  const auto folder = Scratch("whole");
  const Outcome outcome = CoTrain(TinySpec(), 2, folder, 2);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::vector<std::string> expected = {"step.json"};
  for (const std::string& stem : kStems) expected.push_back(stem + ".safetensors");
  EXPECT_THAT(names, ::testing::UnorderedElementsAreArray(expected));

  const Json step = ReadStep(folder);
  EXPECT_EQ(step.value("format", 0), 1);
  EXPECT_EQ(step.value("step", 0), 2);
  EXPECT_EQ(step.value("world_size", 0), 2);
  EXPECT_EQ(step["ranks"]["teacher"].dump(),
            R"([{"labelled":[0,4],"unlabelled":[0,8]},{"labelled":[4,8],"unlabelled":[8,16]}])");
  EXPECT_EQ(step["ranks"]["student"], step["ranks"]["teacher"]);
  for (const std::string& stem : kStems) {
    for (const auto& [name, tensor] : Read(folder / (stem + ".safetensors"))) {
      if (!tensor.is_floating_point()) continue;
      EXPECT_EQ(tensor.scalar_type(), torch::kFloat32) << stem << " " << name;
    }
  }
  const auto batch = Read(folder / "batch.safetensors");
  EXPECT_EQ(batch.at("x_l").sizes().vec(), (std::vector<std::int64_t>{8, 3, 32, 32}));
  EXPECT_EQ(batch.at("x_u_strong").sizes().vec(), (std::vector<std::int64_t>{16, 3, 32, 32}));
  EXPECT_EQ(batch.at("key").sizes().vec(), (std::vector<std::int64_t>{16}));
  EXPECT_EQ(batch.at("mask").sum().item<double>(), step["scalars"]["accepted"].get<double>());
}

TEST(StepRecorder, BeforeAndAfterAreTheStepsOwn) {
  const auto first = Scratch("first");
  const auto second = Scratch("second");
  ASSERT_TRUE(CoTrain(TinySpec(), 1, first, 0).status.ok());
  ASSERT_TRUE(CoTrain(TinySpec(), 1, second, 1).status.ok());
  for (const std::string stem : {"teacher", "student", "ema", "optimizer"}) {
    const auto before = Read(first / (stem + "_before.safetensors"));
    const auto after = Read(first / (stem + "_after.safetensors"));
    const auto next = Read(second / (stem + "_before.safetensors"));
    for (const auto& [name, tensor] : after) EXPECT_TRUE(torch::equal(tensor, next.at(name))) << stem << " " << name;
    const std::string classifier = stem == "optimizer" ? "student.fc.weight" : "fc.weight";
    EXPECT_FALSE(torch::equal(before.at(classifier), after.at(classifier))) << stem;
  }
}

TEST(StepRecorder, TheBatchDoesNotDependOnTheNumberOfRanks) {
  RunSpec spec = TinySpec();
  spec.mutable_cotrain()->set_batch_norm("frozen");
  std::map<std::string, torch::Tensor> alone;
  for (const int ranks : {1, 2, 3}) {
    const auto folder = Scratch("ranks" + std::to_string(ranks));
    ASSERT_TRUE(CoTrain(spec, ranks, folder, 1).status.ok());
    auto batch = Read(folder / "batch.safetensors");
    if (ranks == 1) alone = batch;
    for (const char* name : {"x_l", "x_u_weak", "x_u_strong", "y_l", "key"})
      EXPECT_TRUE(torch::equal(batch.at(name), alone.at(name))) << name << " ranks=" << ranks;
    EXPECT_EQ(ReadStep(folder)["ranks"]["teacher"].size(), static_cast<std::size_t>(ranks));
  }
}

TEST(StepRecorder, Float64IsComputedInFloat64) {
  RunSpec spec = TinySpec();
  spec.mutable_cotrain()->set_dtype("float64");
  const auto folder = Scratch("float64");
  ASSERT_TRUE(CoTrain(spec, 1, folder, 1).status.ok());
  for (const std::string& stem : kStems) {
    for (const auto& [name, tensor] : Read(folder / (stem + ".safetensors"))) {
      if (!tensor.is_floating_point()) continue;
      EXPECT_EQ(tensor.scalar_type(), torch::kFloat64) << stem << " " << name;
    }
  }
  // What passed through float32 anywhere would be equal to its own rounding.
  const auto gradients = Read(folder / "gradients.safetensors");
  for (const auto& [name, gradient] : gradients) {
    EXPECT_FALSE(torch::equal(gradient, gradient.to(torch::kFloat32).to(torch::kFloat64))) << name;
  }
}

TEST(StepRecorder, DoesNotChangeTheRun) {
  const auto recorded = CoTrain(TinySpec(), 2, Scratch("watched"), 1);
  const auto unwatched = CoTrain(TinySpec(), 2, {});
  ASSERT_TRUE(recorded.status.ok() && unwatched.status.ok());
  ASSERT_EQ(recorded.student.size(), unwatched.student.size());
  for (std::size_t i = 0; i < recorded.student.size(); ++i)
    EXPECT_TRUE(torch::equal(recorded.student[i].second, unwatched.student[i].second)) << recorded.student[i].first;
}

/// A student that has run away is nothing to the teacher who does not hear of it.
TEST(StepRecorder, DoesNotChangeARunWhoseFeedbackWouldBePastItsLimitAndReachesNobody) {
  RunSpec off = TinySpec();
  off.mutable_cotrain()->set_lr_student(30);
  RunSpec later = off;
  off.mutable_cotrain()->mutable_feedback()->set_form("off");
  later.mutable_cotrain()->mutable_feedback()->set_start_step(3);
  for (const RunSpec& spec : {off, later}) {
    const auto folder = Scratch("runs_away");
    const auto recorded = CoTrain(spec, 2, folder, 2);
    const auto unwatched = CoTrain(spec, 2, {});
    ASSERT_TRUE(recorded.status.ok() && unwatched.status.ok()) << recorded.status.ToString();
    ASSERT_EQ(recorded.student.size(), unwatched.student.size());
    for (std::size_t i = 0; i < recorded.student.size(); ++i)
      EXPECT_TRUE(torch::equal(recorded.student[i].second, unwatched.student[i].second)) << recorded.student[i].first;
    const Json step = ReadStep(folder);
    EXPECT_GT(step["scalars"]["L_old"].get<double>(), kLargestFeedback);
    EXPECT_EQ(step["scalars"]["h"].get<double>(), 0);
  }
}

TEST(CotrainFeedback, PastItsLimitIsSaidWithItsNumbersAndWhatHelps) {
  RunSpec spec = TinySpec();
  spec.mutable_cotrain()->set_lr_student(30);
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(CoTrain(spec, 2, {}).status.ok());
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, ::testing::HasSubstr("feedback_past_limit"));
  EXPECT_THAT(log, ::testing::HasSubstr("cotrain.feedback.start_step"));
}

TEST(StepRecorder, RefusesWhatCannotBeReplayed) {
  const std::vector<std::pair<std::string, std::function<void(v1::RunSpec&)>>> cases = {
      {"cotrain.steps=3", [](v1::RunSpec&) {}},
      {"max_lag=1", [](v1::RunSpec& spec) { spec.mutable_cotrain()->mutable_feedback()->set_max_lag(1); }},
      {"iresnet50", [](v1::RunSpec& spec) { spec.mutable_model()->set_backbone("iresnet50"); }},
      {"teacher=2 student=1 ranks=2",
       [](v1::RunSpec& spec) {
         spec.mutable_cotrain()->set_placement("split");
         spec.mutable_cotrain()->mutable_placement_ranks()->set_teacher(2);
         spec.mutable_cotrain()->mutable_placement_ranks()->set_student(1);
       }},
      {"must be online",
       [](v1::RunSpec& spec) { spec.mutable_cotrain()->mutable_pseudo_label()->set_source("offline"); }},
  };
  for (const auto& [named, change] : cases) {
    RunSpec spec = TinySpec();
    change(spec);
    const Status status = CoTrain(spec, 2, Scratch("refused"), named == "cotrain.steps=3" ? 3 : 0).status;
    EXPECT_EQ(status.exit_code(), exit_code::kBadSpec) << named;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(named));
    EXPECT_FALSE(std::filesystem::exists(Scratch("refused") / "step.json"));
  }
}

TEST(StepRecorder, WritesAlsoWhereItsFolderLayInThatOfAJobThatIsSetAside) {
  const auto folder = Scratch("moved");
  const auto aside = Scratch("moved.old");
  std::filesystem::remove_all(aside);
  const Outcome outcome = CoTrain(TinySpec(), 1, folder, 1, [&] { std::filesystem::rename(folder, aside); });
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  EXPECT_TRUE(std::filesystem::exists(folder / "step.json"));
}

TEST(StepRecorder, RefusesOtherPhases) {
  const RunSpec spec = TinySpec();
  RunRanks(1, [&](Collective& world) {
    const RecipeContext context = {.spec = spec,
                                   .layout = RunLayout(Scratch("run")),
                                   .phase = "teacher",
                                   .world = world,
                                   .recording = StepRecording{.step = 0, .folder = Scratch("phase")}};
    const Status status = CheckRecordable(context);
    EXPECT_EQ(status.exit_code(), exit_code::kBadSpec);
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("phase=teacher"));
  });
}

TEST(StepRecorder, SaysBeforeTheFirstStepThatItCannotWrite) {
  const auto file = Scratch("file");
  std::ofstream(file) << "not a folder";
  RunRanks(2, [&](Collective& world) {
    const RunSpec spec;
    const RecipeContext context = {.spec = spec,
                                   .layout = RunLayout(Scratch("run")),
                                   .phase = "cotrain",
                                   .world = world,
                                   .recording = StepRecording{.step = 0, .folder = file / "below"}};
    EXPECT_FALSE(StepRecorder(context).MakeFolder().ok());
  });
}

TEST(StepRecorder, HasNothingToSayOfAStepThatWasUndone) {
  RunRanks(1, [](Collective& world) {
    const RunSpec spec;
    const RecipeContext context = {.spec = spec,
                                   .layout = RunLayout(Scratch("run")),
                                   .phase = "cotrain",
                                   .world = world,
                                   .recording = StepRecording{.step = 4, .folder = Scratch("undone")}};
    StepRecorder recorder(context);
    recorder.Begin({});
    const CotrainBatch batch;
    CotrainOutcome outcome;
    outcome.finite = false;
    const Status status = recorder.End({batch, {}, outcome, {}, {}, CotrainPlacement(world)}, {});
    EXPECT_EQ(status.exit_code(), exit_code::kBadData);
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("step=4"));
    EXPECT_FALSE(std::filesystem::exists(Scratch("undone") / "step.json"));
  });
}

}  // namespace
}  // namespace ferment::worker
