// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_data.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "common/dataset/labels/label_index.h"
#include "common/io/atomic_file.h"
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

  /// `absent`: a key that is labelled beside those of the pack.
  void WriteLabels(std::optional<std::uint64_t> absent = std::nullopt) const {
    dataset::LabelSet set;
    set.origin = {dataset::DatasetName(spec_.data().fr().path()), Digest(0), std::string(64, 'f')};
    set.classes.assign(spec_.classes().begin(), spec_.classes().end());
    const auto source = dataset::OpenFr(spec_);
    ASSERT_TRUE(source);
    for (std::uint64_t i = 0; i < (*source)->size(); ++i) set.key.push_back((*source)->KeyAt(i));
    if (absent) set.key.push_back(*absent);
    for (std::uint64_t i = 0; i < set.key.size(); ++i) {
      set.label.push_back(static_cast<std::uint8_t>(i % set.classes.size()));
      set.confidence_half.push_back(0x3c00);
      set.probabilities_half.insert(set.probabilities_half.end(), set.classes.size(), 0);
      set.status.push_back(dataset::LabelStatus::kLabelled);
    }
    const auto into = layout_.LabelSets(set.origin.dataset, set.origin.teacher, set.origin.label_config);
    const auto file = dataset::WriteLabelSet(into, set);
    ASSERT_TRUE(file) << file.error().ToString();
    ASSERT_TRUE(dataset::CommitToLabelIndex(into, 0, *file).ok());
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
  const std::string config(16, 'f');
  EXPECT_EQ(Inputs(0), (JobInputs{{"teacher", Digest(0)}, {"label_config", config}}));
  EXPECT_EQ(Inputs(0, /*from_init=*/true), JobInputs());
  const Json models = Json::array({{{"role", "teacher"}, {"file", "none"}, {"sha256", "t"}},
                                   {{"role", "student"}, {"file", "none"}, {"sha256", "s"}},
                                   {{"role", "student_raw"}, {"file", "none"}, {"sha256", "r"}}});
  ASSERT_TRUE(io::WriteFileAtomically(layout_.Result("cotrain"), Json{{"models", models}}.dump()).ok());
  EXPECT_EQ(Inputs(1), (JobInputs{{"teacher", "t"}, {"student", "s"}, {"student_raw", "r"}, {"label_config", config}}));

  std::filesystem::remove_all(layout_.root() / "labels");
  EXPECT_EQ(Inputs(0), (JobInputs{{"teacher", Digest(0)}}));
}

// A labeler without a coordinator goes on while a job is stopped: that job keeps its checkpoints.
TEST_F(CotrainDataTest, InputsAreTheSameOnceThereAreMoreLabelSets) {
  const JobInputs before = Inputs(0);
  const auto into = layout_.LabelSets(dataset::DatasetName(spec_.data().fr().path()), Digest(0), std::string(64, 'f'));
  auto index = dataset::ReadLabelIndex(into);
  ASSERT_TRUE(index);
  ASSERT_TRUE(dataset::CommitToLabelIndex(into, 1, index->at(0)).ok());
  EXPECT_EQ(Inputs(0), before);
}

// Else every label of an absent record would be learnt from the pack's first face.
TEST_F(CotrainDataTest, ALabelSetOfARecordThatThePackHasNotIsRefusedByName) {
  const auto labels = layout_.LabelSets(dataset::DatasetName(spec_.data().fr().path()), Digest(0), "-").parent_path();
  std::filesystem::remove_all(labels);
  WriteLabels(/*absent=*/70'001);
  for (const char* source : {"offline", "online"}) {
    spec_.mutable_cotrain()->mutable_pseudo_label()->set_source(source);
    const auto refused = Open(0);
    ASSERT_FALSE(refused) << source;
    EXPECT_EQ(refused.error().exit_code(), exit_code::kBadData);
    const std::string message = refused.error().ToString();
    EXPECT_NE(message.find("key=70001 path=" + spec_.data().fr().path()), std::string::npos) << message;
    EXPECT_NE(message.find("label_set=" + labels.string() + "/ffffffffffffffff/000000-"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace ferment::worker
