// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/dataset/data_scan.h"
#include "common/dataset/labels/label_files.h"
#include "common/dataset/labels/label_folders.h"
#include "common/dataset/records/insightface_source.h"
#include "coordinator/local_run_files.h"
#include "labeler/labeler_loop.h"
#include "labeler/offline_lease_client.h"
#include "tests/cluster/object_gateway_fixture.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/scripted_annotator.h"
#include "tests/support/whole_label_index.h"

namespace ferment::testing {
namespace {

/// What a source makes of each record, for a comparison.
std::string Everything(const dataset::InsightfaceSource& pack) {
  std::string text = pack.facts().property + " " + std::to_string(pack.facts().index_lines) + "\n";
  for (const std::string& oddity : pack.facts().oddities) text += oddity + "\n";
  for (std::uint64_t i = 0; i < pack.size(); ++i) {
    const auto record = pack.Read(i);
    text += std::to_string(pack.KeyAt(i)) + " ";
    text += record ? io::Sha256Hex(record->image) : std::string(record.error().message());
    text += "\n";
  }
  return text;
}

class PacksInAStore : public ObjectGatewayTest {
 protected:
  void SetUp() override {
    ObjectGatewayTest::SetUp();
    if (Gateway() == nullptr) return;
    auto spec = RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().ToString();
    spec_ = *std::move(spec);
    pack_ = spec_.data().fr().path();
  }
  void ExpectTheSameFromTheStore() {
    const auto here = dataset::OpenInsightfacePack(pack_.string());
    const auto there = dataset::OpenInsightfacePack(Upload(pack_));
    ASSERT_TRUE(here) << here.error().ToString();
    ASSERT_TRUE(there) << there.error().ToString();
    EXPECT_EQ(Everything(**there), Everything(**here));
  }

  /// Labels the pack of `spec_` without a coordinator. Returns: the digest of its index, "" where something fails.
  std::string LabelIn(const std::filesystem::path& run, const std::string& label_store) {
    spec_.mutable_classes()->Clear();
    for (const char* name : {"Neutral", "Anger", "Fear", "Happiness"}) spec_.add_classes(name);
    spec_.mutable_data()->mutable_fr()->set_shard_records(5);
    spec_.mutable_labeling()->set_canary_share(0);
    spec_.mutable_labeling()->set_min_accuracy(0);
    const RunLayout layout(run);
    std::filesystem::create_directories(layout.Job("teacher"));
    WriteText(layout.Spec(), SpecToYaml(spec_));
    WriteText(layout.Result("teacher"),
              R"({"models": [{"role": "teacher", "file": "x", "sha256": "00112233445566778899aabbccddeeff"}]})");
    auto client = labeler::MakeOfflineLeaseClient(layout.root(), "label", label_store);
    if (!client) {
      ADD_FAILURE() << client.error().ToString();
      return "";
    }
    labeler::WorkRunner runner(
        [](const RunSpec&, const labeler::Model&) -> Result<std::unique_ptr<labeler::Annotator>> {
          return std::make_unique<testing_support::ScriptedAnnotator>(4);
        },
        2);
    const Status labelled = labeler::LabelerLoop(**client, runner, /*exit_when_idle=*/true).Run({});
    EXPECT_TRUE(labelled.ok()) << labelled.ToString();
    const auto folders = dataset::FindLabelFolders(run);
    if (!folders) {
      ADD_FAILURE() << folders.error().ToString();
      return "";
    }
    const auto index = dataset::ReadLabelIndex(folders->front().path);
    EXPECT_EQ(index->size(), 5U);
    return dataset::LabelIndexDigest(*index);
  }

  RunSpec spec_;
  std::filesystem::path pack_;
};

TEST_F(PacksInAStore, AreReadAsFromADisk) {
  ExpectTheSameFromTheStore();
  std::filesystem::remove(pack_ / "train.idx");
  ExpectTheSameFromTheStore();
}

TEST_F(PacksInAStore, DamageHasTheSameReasons) {
  const std::string whole = ReadText(pack_ / "train.rec");
  std::string damaged = whole;
  for (std::size_t at = 1000; at < damaged.size(); at += 1777) damaged[at] = static_cast<char>(damaged[at] ^ 0x5A);
  // A length that is too long, and one that is too short.
  const std::string magic("\x0A\x23\xD7\xCE", 4);
  std::size_t at = damaged.find(magic, damaged.size() / 3);
  damaged.replace(at + 4, 4, std::string("\xFF\xFF\xFF\x0F", 4));
  at = damaged.find(magic, damaged.size() / 2);
  damaged.replace(at + 4, 4, std::string("\x10\x00\x00\x00", 4));
  WriteText(pack_ / "train.rec", damaged);
  ExpectTheSameFromTheStore();
  WriteText(pack_ / "train.rec", whole.substr(0, whole.size() * 2 / 3));
  ExpectTheSameFromTheStore();
  std::filesystem::remove(pack_ / "train.idx");
  ExpectTheSameFromTheStore();
}

TEST_F(PacksInAStore, AreScannedAsOnADisk) {
  const std::string url = Upload(pack_);
  ASSERT_EQ(*dataset::GuessFormat(url), "insightface");
  auto there = dataset::ScanData(url, "insightface");
  auto here = dataset::ScanData(pack_, "insightface");
  ASSERT_TRUE(there) << there.error().ToString();
  there->erase("path");
  here->erase("path");
  EXPECT_EQ(there->dump(1), here->dump(1));
}

TEST_F(PacksInAStore, AreLabelledAsOnADisk) {
  const std::string expected = LabelIn(folder_ / "run-here", "");
  ASSERT_NE(expected, "");
  spec_.mutable_data()->mutable_fr()->set_path(Upload(pack_));
  EXPECT_EQ(LabelIn(folder_ / "run-there", ""), expected);
}

TEST_F(PacksInAStore, LabelSetsInAStoreAreThoseOnADisk) {
  const std::string expected = LabelIn(folder_ / "run-here", "");
  ASSERT_NE(expected, "");
  const std::string bucket = Gateway()->FreshBucket();
  const auto run = folder_ / "run-there";
  EXPECT_EQ(LabelIn(run, "s3://" + bucket + "/some/prefix"), expected);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run / "labels"))
    EXPECT_TRUE(entry.is_directory() || entry.path().filename() == "store.json") << entry.path();

  const auto folders = dataset::FindLabelFolders(run);
  ASSERT_TRUE(folders) << folders.error().ToString();
  ASSERT_EQ(folders->size(), 1U);
  EXPECT_EQ(dataset::ReadLabelSets(folders->front().path)->size(), 5U);
  auto check = dataset::CheckLabelFolder(folders->front());
  ASSERT_TRUE(check) << check.error().ToString();
  EXPECT_TRUE(check->faults.empty()) << check->faults.front();
  EXPECT_TRUE(check->notes.empty()) << check->notes.front();

  // What a check of files on a disk finds, it finds here.
  const auto place = *dataset::LabelUrlOf(folders->front().path);
  const auto store = Open(Gateway()->Settings(), bucket);
  const auto index = *dataset::ReadLabelIndex(folders->front().path);
  const std::string damaged = place->Below(index.at(2).file).key;
  ASSERT_TRUE(store->Replace(damaged, BytesOf("no label set"), store->Head(damaged)->etag));
  ASSERT_TRUE(store->Remove(place->Below(index.at(3).file).key).ok());
  ASSERT_TRUE(store->PutIfAbsent(place->Below("000009-left.npz").key, BytesOf("x")).ok());
  check = dataset::CheckLabelFolder(folders->front());
  ASSERT_TRUE(check) << check.error().ToString();
  ASSERT_EQ(check->faults.size(), 2U);
  EXPECT_NE(check->faults[0].find("label set is not the one that was committed: file=s3://" + bucket),
            std::string::npos)
      << check->faults[0];
  EXPECT_NE(check->faults[1].find("http=404"), std::string::npos) << check->faults[1];
  EXPECT_EQ(check->notes.size(), 1U);
}

TEST_F(PacksInAStore, ALabelSetOfAnotherContentUnderTheSameNameIsRefused) {
  const auto folder = folder_ / "run" / "labels" / "fr" / "teacher" / "config";
  ASSERT_TRUE(dataset::PlaceLabels(folder_ / "run", "tiny", "s3://" + Gateway()->FreshBucket()).ok());
  dataset::LabelSet set;
  set.origin = {"fr", "teacher", "config"};
  set.classes = {"A", "B"};
  set.key = {1};
  set.label = {1};
  set.confidence_half = {0};
  set.probabilities_half = {0, 0};
  set.status = {dataset::LabelStatus::kAbstained};
  const auto first = dataset::WriteLabelSet(folder, set);
  ASSERT_TRUE(first) << first.error().ToString();
  EXPECT_TRUE(dataset::WriteLabelSet(folder, set)) << "the same again";
  const auto place = *dataset::OpenLabelFiles(folder);
  EXPECT_EQ(place->WriteOnce(first->file, BytesOf("other")).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(*dataset::ReadLabelSet(folder, *first)->key.begin(), 1U);
}

TEST_F(PacksInAStore, OfSeveralLabelersAtTheIndexNoneIsLost) {
  const auto folder = folder_ / "run" / "labels" / "fr" / "teacher" / "config";
  ASSERT_TRUE(dataset::PlaceLabels(folder_ / "run", "tiny", "s3://" + Gateway()->FreshBucket()).ok());
  std::vector<std::jthread> labelers;
  for (std::uint64_t shard = 0; shard < 6; ++shard) {
    labelers.emplace_back([&folder, shard] {
      const auto committed =
          dataset::CommitToLabelIndex(folder, shard, {"f" + std::to_string(shard), "d", {1, 1, 0, 0}});
      EXPECT_TRUE(committed) << committed.error().ToString();
    });
  }
  labelers.clear();
  EXPECT_EQ(dataset::ReadLabelIndex(folder)->size(), 6U);
  EXPECT_EQ(dataset::CommitToLabelIndex(folder, 3, {"other", "e", {1, 1, 0, 0}}).error().code(),
            StatusCode::kAlreadyExists);
}

TEST_F(PacksInAStore, AFencedCoordinatorWritesNoIndexThere) {
  const std::string store = "s3://" + Gateway()->FreshBucket() + "/labels";
  const auto earlier = coordinator::MakeLocalRunFiles(store);
  const auto later = coordinator::MakeLocalRunFiles(store);
  const auto run = folder_ / "run";
  ASSERT_TRUE(earlier->PrepareRun(spec_, run, "earlier").ok());
  const auto folder = run / "labels" / "fr" / "teacher" / "config";
  const coordinator::LabelEntry entry{0, {"labels/fr/teacher/config/000000-a.npz", "digest"}, {1, 1, 0, 0, {}}};
  const std::vector<coordinator::LabelEntry> one = {entry};
  std::vector<coordinator::LabelEntry> two = {entry, entry};
  two[1].shard = 1;
  bool leads = true;
  const coordinator::Fence fence = [&leads] { return leads ? Status() : AbortedError("another leads"); };
  ASSERT_TRUE(WriteLabelIndex(*earlier, folder, one, fence).ok());
  // Stopped behind its last look at the fence, while the later one writes.
  const coordinator::Fence passed = [&] {
    if (!leads) return AbortedError("another leads");
    leads = false;
    const Status written = WriteLabelIndex(*later, folder, two, [] { return Status(); });
    EXPECT_TRUE(written.ok()) << written.ToString();
    return Status();
  };
  EXPECT_EQ(WriteLabelIndex(*earlier, folder, {}, passed).code(), StatusCode::kAborted);
  EXPECT_EQ(dataset::ReadLabelIndex(folder)->size(), 2U);
  EXPECT_EQ(later->FileSize(folder / "index.json").value_or(0) > 0, true);
  EXPECT_EQ(later->FileSize(folder / "000000-a.npz").error().code(), StatusCode::kNotFound);
}

TEST_F(PacksInAStore, ThatAreNotThereAreNamed) {
  const std::string bucket = Gateway()->FreshBucket();
  const auto pack = dataset::OpenInsightfacePack("s3://" + bucket + "/nothing/here/");
  ASSERT_FALSE(pack);
  EXPECT_EQ(ProcessExitCode(pack.error()), exit_code::kBadData);
  EXPECT_NE(pack.error().message().find("s3://" + bucket + "/nothing/here"), std::string::npos);
  EXPECT_FALSE(dataset::FindInsightfacePack("s3://" + bucket + "/train.rec").ok());
}

TEST_F(PacksInAStore, ThatAreReplacedWhileTheyAreReadAreNoDamage) {
  const std::string url = Upload(pack_);
  const auto pack = dataset::OpenInsightfacePack(url);
  ASSERT_TRUE(pack);
  const auto place = io::ParseObjectUrl(url);
  const auto store = Open(Gateway()->Settings(), place->bucket);
  const std::string key = place->Below("train.rec").key;
  ASSERT_TRUE(store->Replace(key, BytesOf("another pack"), store->Head(key)->etag));
  const auto record = (*pack)->Read((*pack)->size() - 1);
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code(), StatusCode::kFailedPrecondition) << record.error().ToString();
}

}  // namespace
}  // namespace ferment::testing
