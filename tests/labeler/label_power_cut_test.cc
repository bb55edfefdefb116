// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/base/json.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/records/open_sources.h"
#include "labeler/labeler_loop.h"
#include "labeler/offline_lease_client.h"
#include "tests/support/crash_images.h"
#include "tests/support/scripted_annotator.h"

namespace ferment::labeler {
namespace {

constexpr std::uint64_t kShards = 3;
constexpr char kTeacher[] = "0123456789abcdef";
constexpr char kArithmetic[] = "test";

RunSpec SpecOfPictures() {
  RunSpec spec;
  spec.set_name("pictures");
  spec.mutable_data()->mutable_fr()->set_format("folder");
  spec.mutable_data()->mutable_fr()->set_path(FERMENT_FIXTURES "/jpeg");
  spec.mutable_data()->mutable_fr()->set_shard_records(4);
  for (const char* name : {"Neutral", "Anger", "Disgust", "Fear"}) spec.add_classes(name);
  spec.mutable_labeling()->set_canary_share(0);
  spec.mutable_labeling()->set_min_accuracy(0);
  spec.mutable_labeling()->set_max_damage(1.0);
  return spec;
}

/// A run whose teacher has been published, and whose shards labelers without a coordinator label.
class LabelPowerCut : public ::testing::Test {
 protected:
  LabelPowerCut() {
    std::filesystem::create_directories(layout_.Job("teacher"));
    std::ofstream(layout_.Spec()) << SpecToYaml(SpecOfPictures());
    std::ofstream(layout_.Result("teacher"))
        << Json{{"models", {{{"role", "teacher"}, {"file", "teacher"}, {"sha256", kTeacher}}}}};
  }
  ~LabelPowerCut() override { std::filesystem::remove_all(layout_.root()); }

  Status LabelTheRest() const {
    FERMENT_ASSIGN_OR_RETURN(const auto client, MakeOfflineLeaseClient(layout_.root(), "label", "", kArithmetic));
    WorkRunner runner(
        [](const RunSpec&, const Model&) {
          return Result<std::unique_ptr<Annotator>>(std::make_unique<testing_support::ScriptedAnnotator>(4));
        },
        1);
    return LabelerLoop(*client, runner, /*exit_when_idle=*/true).Run({});
  }

  const RunLayout layout_{std::filesystem::path(::testing::TempDir()) /
                          ("label-power-cut-" + std::to_string(::getpid()))};
  const std::filesystem::path image_ = testing::ImageFolder();
};

TEST_F(LabelPowerCut, AShardThatAKilledLabelerCommittedIsLeftOutOnceNoPowerCutCanTakeIt) {
  const int kills = testing::ForEachCrashAfterAKill(
      {layout_.root() / "labels", [&] { (void)LabelTheRest(); },
       [&] {
         const Status status = LabelTheRest();
         EXPECT_TRUE(status.ok()) << status.ToString();
       }},
      image_, [&] {
        std::uint64_t whole = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(image_)) {
          if (entry.path().filename() != "index.json") continue;
          const auto index = dataset::ReadLabelIndex(entry.path().parent_path());
          ASSERT_TRUE(index) << index.error().ToString();
          for (const auto& [shard, file] : *index) {
            whole += dataset::ReadLabelSet(entry.path().parent_path(), file) ? 1U : 0U;
          }
        }
        EXPECT_EQ(whole, kShards);
      });
  EXPECT_GT(kills, 30);
}

TEST_F(LabelPowerCut, AnEntryThatAKilledProcessMadeIsSyncedByWhoMakesItAgain) {
  const dataset::LabelFile file = {"set.npz", "digest", {1, 1, 0, 0}};
  const auto commit = [&] { return dataset::CommitToLabelIndex(layout_.root() / "labels", 7, file).has_value(); };
  const int kills = testing::ForEachCrashAfterAKill(
      {layout_.root() / "labels", [&] { (void)commit(); }, [&] { EXPECT_TRUE(commit()); }}, image_, [&] {
        const auto index = dataset::ReadLabelIndex(image_);
        EXPECT_TRUE(index && index->contains(7));
      });
  EXPECT_EQ(kills, 8) << "the lock's file made, the temporary file made, written, synced, closed and renamed, the "
                         "folder synced, and the lock given up";
}

}  // namespace
}  // namespace ferment::labeler
