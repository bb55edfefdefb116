// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_data.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/instruction_set.h"
#include "common/dataset/labels/label_index.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "tests/support/rendered_spec.h"
#include "worker/collective/thread_collective.h"

namespace ferment::worker {
namespace {

/// A run whose first two rounds have a teacher, and label sets of the first alone.
class CotrainDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *std::move(spec);
    spec_.mutable_cotrain()->set_rounds(3);
    for (std::uint32_t round = 0; round < 3; ++round) {
      const Json models = Json::array({{{"role", "teacher"}, {"file", "none"}, {"sha256", Digest(round)}}});
      ASSERT_TRUE(io::CreateFolders(layout_.Job(TeacherJobOf(round))).ok());
      ASSERT_TRUE(io::WriteFileAtomically(layout_.Result(TeacherJobOf(round)), Json{{"models", models}}.dump()).ok());
    }
    WriteLabels();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string Digest(std::uint32_t round) { return std::string(64, static_cast<char>('a' + round)); }

  std::string Dataset() const { return dataset::DatasetName(spec_.data().fr().path()); }
  std::string Config(std::string_view arithmetic = "avx2") const {
    return dataset::LabelConfigDigest(spec_, dataset::PlanInUse(spec_), arithmetic);
  }
  std::filesystem::path Labels(std::string_view arithmetic = "avx2") const {
    return layout_.LabelSets(Dataset(), Digest(0), Config(arithmetic));
  }

  /// As a labeler of this kind makes them by the spec as it is now: record i is of class i + `first_class`.
  /// `absent`: a key that is labelled beside those of the pack.
  void WriteLabels(std::optional<std::uint64_t> absent = std::nullopt, std::size_t first_class = 0,
                   std::string_view arithmetic = "avx2") const {
    dataset::LabelSet set;
    set.origin = {Dataset(), Digest(0), Config(arithmetic)};
    set.classes.assign(spec_.classes().begin(), spec_.classes().end());
    const auto source = dataset::OpenFr(spec_);
    ASSERT_TRUE(source);
    for (std::uint64_t i = 0; i < (*source)->size(); ++i) set.key.push_back((*source)->KeyAt(i));
    if (absent) set.key.push_back(*absent);
    for (std::uint64_t i = 0; i < set.key.size(); ++i) {
      set.label.push_back(static_cast<std::uint8_t>((i + first_class) % set.classes.size()));
      set.confidence_half.push_back(0x3c00);
      set.probabilities_half.insert(set.probabilities_half.end(), set.classes.size(), 0);
      set.status.push_back(dataset::LabelStatus::kLabelled);
    }
    const auto file = dataset::WriteLabelSet(Labels(arithmetic), set);
    ASSERT_TRUE(file) << file.error().ToString();
    ASSERT_TRUE(dataset::CommitToLabelIndex(Labels(arithmetic), 0, *file));
  }
  /// Returns: `first_class` of the label sets that offline labels are taken from.
  std::size_t FirstClassInUse() {
    spec_.mutable_cotrain()->mutable_pseudo_label()->set_source("offline");
    const auto faces = Open(0);
    const auto source = dataset::OpenFr(spec_);
    EXPECT_TRUE(faces && source) << (faces ? "" : faces.error().ToString());
    if (!faces || !source) return ~std::size_t{0};
    const auto batch = faces->stream->Rows(0, 1);
    EXPECT_TRUE(batch) << batch.error().ToString();
    const auto classes = static_cast<std::size_t>(spec_.classes_size());
    const std::size_t record = *dataset::IndexOfKey(**source, batch->keys[0]);
    return (static_cast<std::size_t>(batch->labels[0].item<std::int64_t>()) + classes - record % classes) % classes;
  }
  RecipeContext Context(std::uint32_t round, bool from_init) const {
    return {.spec = spec_,
            .layout = layout_,
            .phase = "cotrain",
            .round = round,
            .world = *alone_,
            .from_init = from_init,
            .recording = {}};
  }
  Result<UnlabelledFaces> Open(std::uint32_t round, bool from_init = false) const {
    return OpenUnlabelledStream(Context(round, from_init));
  }
  JobInputs Inputs(std::uint32_t round, bool from_init = false) const {
    return CotrainInputs(Context(round, from_init));
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("cotrain-data-" + std::to_string(getpid()));
  const RunLayout layout_{folder_ / "run"};
  const std::unique_ptr<Collective> alone_ = MakeSingleCollective();
  RunSpec spec_;
};

TEST_F(CotrainDataTest, StalenessIsHowFarBehindTheTeacherOfTheLabelSetsInUseIs) {
  spec_.mutable_cotrain()->set_max_teacher_lag(2);
  for (const std::uint32_t round : {0U, 1U, 2U}) {
    const auto faces = Open(round);
    ASSERT_TRUE(faces) << faces.error().ToString();
    EXPECT_EQ(faces->staleness, round);
    EXPECT_NE(faces->stream, nullptr);
  }
  spec_.mutable_cotrain()->mutable_pseudo_label()->set_fr_sampling("uniform");
  EXPECT_FALSE(Open(1)->staleness) << "drawn without label sets";
  spec_.mutable_cotrain()->mutable_pseudo_label()->set_source("offline");
  EXPECT_EQ(Open(1)->staleness, 1U) << "learnt from them";
  spec_.mutable_cotrain()->mutable_pseudo_label()->set_source("online");
  EXPECT_FALSE(Open(0, /*from_init=*/true)->staleness);
}

TEST_F(CotrainDataTest, LabelSetsOlderThanTheSpecAllowsAreNotUsed) {
  spec_.mutable_cotrain()->set_max_teacher_lag(1);
  EXPECT_TRUE(Open(1));
  const auto refused = Open(2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().exit_code(), exit_code::kBadData) << refused.error().ToString();
}

TEST_F(CotrainDataTest, InputsAreTheNetworksOfTheRoundBeforeAndTheLabelConfig) {
  const std::string config = Config().substr(0, 16);
  const std::string keys = dataset::LabelConfigDigest(spec_, dataset::PlanInUse(spec_), "");
  const std::string list = *io::Sha256OfFile(spec_.data().fer(0).path() + "/train.csv");
  EXPECT_EQ(
      Inputs(0),
      (JobInputs{{"teacher", Digest(0)}, {"label_config", config}, {"labeling", keys}, {"data.fer.train", list}}));
  EXPECT_EQ(Inputs(0, /*from_init=*/true), (JobInputs{{"data.fer.train", list}}));
  const Json models = Json::array({{{"role", "teacher"}, {"file", "none"}, {"sha256", "t"}},
                                   {{"role", "student"}, {"file", "none"}, {"sha256", "s"}},
                                   {{"role", "student_raw"}, {"file", "none"}, {"sha256", "r"}}});
  ASSERT_TRUE(io::WriteFileAtomically(layout_.Result("cotrain"), Json{{"models", models}}.dump()).ok());
  EXPECT_EQ(Inputs(1), (JobInputs{{"teacher", "t"},
                                  {"student", "s"},
                                  {"student_raw", "r"},
                                  {"label_config", config},
                                  {"labeling", keys},
                                  {"data.fer.train", list}}));

  std::filesystem::remove_all(layout_.root() / "labels");
  EXPECT_EQ(Inputs(0), (JobInputs{{"teacher", Digest(0)}, {"labeling", keys}, {"data.fer.train", list}}));
  spec_.mutable_cotrain()->mutable_pseudo_label()->set_fr_sampling("uniform");
  EXPECT_EQ(Inputs(0), (JobInputs{{"teacher", Digest(0)}, {"data.fer.train", list}})) << "no label has a say";
}

TEST_F(CotrainDataTest, ModelInitIsReadByWhoeverStartsANetworkFromIt) {
  const auto weights = folder_ / "weights.safetensors";
  spec_.mutable_model()->set_init(weights.string());
  EXPECT_FALSE(Inputs(0, /*from_init=*/true).contains("model.init")) << "who has to read it says that it is missing";
  ASSERT_TRUE(io::WriteFileAtomically(weights, "one").ok());
  EXPECT_EQ(Inputs(0, /*from_init=*/true)["model.init"], io::Sha256Hex("one"));
  EXPECT_FALSE(Inputs(0).contains("model.init")) << "the teacher's job read it";
  spec_.mutable_cotrain()->set_student_init("model");
  EXPECT_EQ(Inputs(0)["model.init"], io::Sha256Hex("one"));
  EXPECT_FALSE(Inputs(1).contains("model.init")) << "its student is the round before's";
}

// Which of the two folders is the first by name, nobody knows.
TEST_F(CotrainDataTest, LabelsAreThoseOfTheSpecAsItIs) {
  const double former = spec_.labeling().threshold();
  spec_.mutable_labeling()->set_threshold(0.9);
  WriteLabels(std::nullopt, /*first_class=*/3);
  for (const auto& [threshold, first_class] : {std::pair(0.9, 3U), {former, 0U}}) {
    SCOPED_TRACE(threshold);
    spec_.mutable_labeling()->set_threshold(threshold);
    EXPECT_EQ(FirstClassInUse(), first_class);
    EXPECT_EQ(Inputs(0)["label_config"], Config().substr(0, 16));
  }
}

TEST_F(CotrainDataTest, LabelSetsOfOtherSettingsAreRefusedWithTheirFoldersAndTheOneWanted) {
  const std::string found = Labels().string();
  const JobInputs before = Inputs(0);
  const std::array changes = {
      +[](v1::LabelingSpec& spec) { spec.set_threshold(0.9); }, +[](v1::LabelingSpec& spec) { spec.set_tau(2); },
      +[](v1::LabelingSpec& spec) { spec.set_plan("int8"); }, +[](v1::LabelingSpec& spec) { spec.set_device("cuda"); }};
  for (const auto& change : changes) {
    const RunSpec former = spec_;
    change(*spec_.mutable_labeling());
    SCOPED_TRACE(spec_.labeling().ShortDebugString());
    const bool on_gpus = spec_.labeling().device() == "cuda";
    for (const char* source : {"offline", "online"}) {
      spec_.mutable_cotrain()->mutable_pseudo_label()->set_source(source);
      const auto refused = Open(0);
      ASSERT_FALSE(refused) << source;
      EXPECT_EQ(refused.error().exit_code(), exit_code::kBadData);
      const std::string message = refused.error().ToString();
      EXPECT_NE(message.find("found=" + found), std::string::npos) << message;
      EXPECT_NE(message.find(Labels(on_gpus ? "cuda" : "avx2").string()), std::string::npos) << message;
    }
    EXPECT_FALSE(Inputs(0).contains("label_config"));
    EXPECT_EQ(Inputs(0)["labeling"] != before.at("labeling"), !on_gpus) << "so that what was learnt from them is not";
    spec_ = former;
  }
  spec_.mutable_labeling()->set_tau(2);
  spec_.mutable_cotrain()->mutable_pseudo_label()->set_fr_sampling("uniform");
  EXPECT_TRUE(Open(0)) << "no label is needed";
}

TEST_F(CotrainDataTest, LabelSetsOfAnotherTeacherAreNamedToo) {
  spec_.mutable_cotrain()->set_max_teacher_lag(0);
  const auto refused = Open(1);
  ASSERT_FALSE(refused);
  const std::string message = refused.error().ToString();
  EXPECT_NE(message.find("found=" + Labels().string()), std::string::npos) << message;
  EXPECT_NE(message.find(layout_.LabelSets(Dataset(), Digest(1), Config()).string()), std::string::npos) << message;
}

TEST_F(CotrainDataTest, LabelsOfAnyKindOfLabelerCountAndThoseOfTheOneThatMadeMostAreTaken) {
  for (const std::string_view arithmetic : kArithmeticClasses) {
    SCOPED_TRACE(arithmetic);
    std::filesystem::remove_all(layout_.root() / "labels");
    WriteLabels(std::nullopt, /*first_class=*/2, arithmetic);
    EXPECT_EQ(FirstClassInUse(), 2U);
    WriteLabels(std::nullopt, /*first_class=*/1, arithmetic == "avx2" ? "baseline" : "avx2");
    ASSERT_TRUE(dataset::CommitToLabelIndex(Labels(arithmetic), 1, dataset::ReadLabelIndex(Labels(arithmetic))->at(0)));
    EXPECT_EQ(Inputs(0)["label_config"], Config(arithmetic).substr(0, 16));
  }
}

// A labeler without a coordinator goes on while a job is stopped: that job keeps its checkpoints.
TEST_F(CotrainDataTest, InputsAreTheSameOnceThereAreMoreLabelSets) {
  const JobInputs before = Inputs(0);
  auto index = dataset::ReadLabelIndex(Labels());
  ASSERT_TRUE(index);
  ASSERT_TRUE(dataset::CommitToLabelIndex(Labels(), 1, index->at(0)));
  EXPECT_EQ(Inputs(0), before);
}

// Else every label of an absent record would be learnt from the pack's first face.
TEST_F(CotrainDataTest, ALabelSetOfARecordThatThePackHasNotIsRefusedByName) {
  std::filesystem::remove_all(Labels());
  WriteLabels(/*absent=*/70'001);
  for (const char* source : {"offline", "online"}) {
    spec_.mutable_cotrain()->mutable_pseudo_label()->set_source(source);
    const auto refused = Open(0);
    ASSERT_FALSE(refused) << source;
    EXPECT_EQ(refused.error().exit_code(), exit_code::kBadData);
    const std::string message = refused.error().ToString();
    EXPECT_NE(message.find("key=70001 path=" + spec_.data().fr().path()), std::string::npos) << message;
    EXPECT_NE(message.find("label_set=" + Labels().string() + "/000000-"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace ferment::worker
