// SPDX-License-Identifier: Apache-2.0
#include "labeler/work_runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/dataset/labels/label_set.h"
#include "common/dataset/pictures/jpeg_encoder.h"
#include "tests/common/dataset/pack_builder.h"
#include "tests/support/as_nobody.h"
#include "tests/support/scripted_annotator.h"

namespace ferment::labeler {
namespace {

/// A face of which ScriptedAnnotator sees this class.
std::string FaceOf(int label) {
  const auto shade = static_cast<std::uint8_t>(64 * label + 32);
  const dataset::Image image{.width = 8, .height = 8, .rgb = std::vector<std::uint8_t>(8 * 8 * 3, shade)};
  const auto jpeg = dataset::EncodeJpeg(image, 100);
  EXPECT_TRUE(jpeg);
  return {reinterpret_cast<const char*>(jpeg->data()), jpeg->size()};
}

/// Leases of one run after another whose pack is always at the same place.
class WorkRunnerTest : public ::testing::Test {
 protected:
  /// A pack of two faces in place of the one before.
  void ReplacePack(const std::string& first, const std::string& second) {
    dataset::PackBuilder pack;
    pack.AppendIndexed(0, dataset::ImagePayload(0, {0}, first));
    pack.AppendIndexed(1, dataset::ImagePayload(0, {0}, second));
    pack_ = pack.Write("work_runner_pack");
  }
  std::shared_ptr<const RunSpec> NewRun(std::uint32_t batch = 4) const {
    RunSpec spec;
    for (const char* name : {"Neutral", "Anger", "Fear", "Happiness"}) spec.add_classes(name);
    spec.mutable_data()->mutable_fr()->set_format("insightface");
    spec.mutable_data()->mutable_fr()->set_path(pack_.string());
    spec.mutable_data()->mutable_fr()->set_shard_records(2);
    spec.mutable_labeling()->set_batch(batch);
    spec.mutable_labeling()->set_tau(1);
    spec.mutable_labeling()->set_max_damage(1);
    return std::make_shared<const RunSpec>(spec);
  }
  /// Labels the pack's only shard. Returns: the labels of its two records.
  std::vector<std::uint8_t> Label(const std::shared_ptr<const RunSpec>& spec) {
    const auto labels = dataset::FreshFolder("work_runner_labels");
    Lease lease;
    lease.spec = spec;
    lease.work = LabelTask{"pack", 0, 2, Model{"teacher.safetensors", "digest", labels}, "config"};
    std::atomic<std::uint64_t> done = 0;
    const auto outcome = runner_.Run(lease, {}, done);
    EXPECT_TRUE(outcome) << outcome.error().ToString();
    if (!outcome || !outcome->failure.ok()) return {};
    const ResultFile& file = outcome->result.files.front();
    const Counts& counts = outcome->result.counts;
    const auto set =
        dataset::ReadLabelSet(labels, {file.file.filename().string(),
                                       file.sha256,
                                       {counts.read, counts.labelled, counts.abstained, counts.quarantined}});
    EXPECT_TRUE(set) << set.error().ToString();
    return set ? set->label : std::vector<std::uint8_t>();
  }

  std::filesystem::path pack_;
  /// What each network was opened with.
  std::vector<std::uint32_t> opened_;
  WorkRunner runner_{[this](const RunSpec& spec, const Model&) -> Result<std::unique_ptr<Annotator>> {
                       opened_.push_back(spec.labeling().batch());
                       return std::make_unique<testing_support::ScriptedAnnotator>(spec.labeling().batch());
                     },
                     1};
};

TEST_F(WorkRunnerTest, ReadsThePackAsItIsWhenARunBeginsThoughOneBeforeHadAnotherAtItsPlace) {
  ReplacePack(FaceOf(1), "not a picture");
  EXPECT_EQ(Label(NewRun()), (std::vector<std::uint8_t>{1, dataset::kNoLabel}));
  ReplacePack(FaceOf(3), FaceOf(2));
  EXPECT_EQ(Label(NewRun()), (std::vector<std::uint8_t>{3, 2})) << "the pack was mended, and the run submitted again";
}

TEST_F(WorkRunnerTest, ReadsThePackAnewOnceThereWasNoWork) {
  ReplacePack("not a picture", "nor is this");
  const auto spec = NewRun();
  EXPECT_EQ(Label(spec), (std::vector<std::uint8_t>{dataset::kNoLabel, dataset::kNoLabel}));
  ReplacePack(FaceOf(3), FaceOf(2));
  runner_.Rest();
  EXPECT_EQ(Label(spec), (std::vector<std::uint8_t>{3, 2})) << "the run failed, and was reopened with a mended pack";
}

TEST_F(WorkRunnerTest, OpensAnotherRunsNetworkAnewAndThatOfOneRunOnce) {
  ReplacePack(FaceOf(1), FaceOf(2));
  const auto first = NewRun(4);
  EXPECT_EQ(Label(first), Label(first));
  EXPECT_EQ(opened_, (std::vector<std::uint32_t>{4}));
  Label(NewRun(2));
  EXPECT_EQ(opened_, (std::vector<std::uint32_t>{4, 2})) << "the same weights, by another spec";
}

TEST_F(WorkRunnerTest, AFolderThatCannotBeWrittenIsFoundOutBeforeANetworkIsOpenedAndNothingIsLabelled) {
  ReplacePack(FaceOf(1), FaceOf(2));
  const auto folder = dataset::FreshFolder("work_runner_read_only");
  const auto file = folder / "file";
  std::ofstream(file) << "x";
  std::filesystem::permissions(folder, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec |
                                           std::filesystem::perms::others_read | std::filesystem::perms::others_exec);
  for (const auto& output : {folder, folder / "labels", file / "labels"}) {
    for (const bool of_features : {false, true}) {
      Lease lease;
      lease.spec = NewRun();
      const Model model{"teacher.safetensors", "digest", output};
      if (of_features) {
        lease.work = FeatureTask{.dataset = "pack", .videos = {}, .models = {model}};
      } else {
        lease.work = LabelTask{"pack", 0, 2, model, "config"};
      }
      std::atomic<std::uint64_t> done = 0;
      const testing::AsNobody nobody;
      const auto outcome = runner_.Run(lease, {}, done);
      ASSERT_FALSE(outcome) << output;
      EXPECT_EQ(ProcessExitCode(outcome.error()), exit_code::kCannotWrite) << outcome.error().ToString();
      EXPECT_EQ(done, 0U);
    }
  }
  EXPECT_TRUE(opened_.empty());
}

TEST_F(WorkRunnerTest, WhatWasTriedLeavesNothingBeside) {
  ReplacePack(FaceOf(1), FaceOf(2));
  Label(NewRun());
  const auto labels =
      std::filesystem::path(::testing::TempDir()) / ("work_runner_labels-" + std::to_string(::getpid()));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(labels), {}), 1);
}

}  // namespace
}  // namespace ferment::labeler
