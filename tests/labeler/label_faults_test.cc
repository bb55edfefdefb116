// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "common/dataset/labels/label_index.h"
#include "common/io/checksum.h"
#include "common/io/local_file_system.h"
#include "labeler/feature_work.h"
#include "labeler/labeler_loop.h"
#include "tests/support/crash_images.h"
#include "tests/support/disk_fault_sweep.h"
#include "tests/support/scripted_annotator.h"

namespace ferment::labeler {
namespace {

using testing::DiskFault;
using ::testing::ElementsAre;
using testing::ExpectStorageFailure;
using ::testing::IsEmpty;
using testing::Struck;
using testing::SweepDiskFaults;

constexpr std::uint64_t kShards = 3;
constexpr std::uint64_t kShardRecords = 4;

using Shards = std::vector<std::uint64_t>;
/// Shards and the exit codes that were told of them.
using Told = std::vector<std::pair<std::uint64_t, int>>;

RunSpec SpecOfPictures() {
  RunSpec spec;
  spec.mutable_data()->mutable_fr()->set_format("folder");
  spec.mutable_data()->mutable_fr()->set_path(FERMENT_FIXTURES "/jpeg");
  for (const char* name : {"a", "b", "c", "d"}) spec.add_classes(name);
  spec.mutable_labeling()->set_tau(1.0);
  spec.mutable_labeling()->set_max_damage(1.0);
  return spec;
}

/// Leases of three shards below `folder`; commits go into its index, as offline.
class FolderLeases final : public LeaseClient {
 public:
  explicit FolderLeases(std::filesystem::path folder) : folder_(std::move(folder)) {}

  Result<LeaseOffer> Take() override {
    if (taken_ >= kShards) return LeaseOffer{{}, std::chrono::milliseconds(1), true};
    Lease lease;
    lease.key.shard = taken_++;
    lease.duration = std::chrono::hours(1);
    lease.spec = spec_;
    lease.work =
        LabelTask{"faces", lease.key.shard * kShardRecords, kShardRecords, {"teacher", "digest", folder_}, "config"};
    return LeaseOffer{{lease}, std::chrono::milliseconds(0), false};
  }
  Result<std::chrono::milliseconds> Renew(const LeaseKey&, std::uint64_t) override {
    return std::chrono::milliseconds(std::chrono::hours(1));
  }
  Result<LeaseOffer> Commit(const Lease& lease, const ShardResult& result) override {
    const ResultFile& file = result.files.at(0);
    const Counts& counts = result.counts;
    const auto entered =
        dataset::CommitToLabelIndex(folder_, lease.key.shard,
                                    {file.file.filename().string(),
                                     file.sha256,
                                     {counts.read, counts.labelled, counts.abstained, counts.quarantined}});
    if (!entered) return Fail(entered.error());
    committed[lease.key.shard] = file.sha256;
    if (on_commit) on_commit();
    return LeaseOffer();
  }
  Status Return(const LeaseKey& key) override {
    returned.push_back(key.shard);
    return {};
  }
  Status FailShard(const LeaseKey& key, const ShardFailure& failure) override {
    failed.emplace_back(key.shard, ProcessExitCode(failure.status));
    return {};
  }

  std::map<std::uint64_t, std::string> committed;
  std::function<void()> on_commit;
  Shards returned;
  Told failed;

 private:
  const std::filesystem::path folder_;
  const std::shared_ptr<const RunSpec> spec_ = std::make_shared<const RunSpec>(SpecOfPictures());
  std::uint64_t taken_ = 0;
};

class LabelFaults : public ::testing::Test {
 protected:
  LabelFaults() {
    root_ = std::filesystem::path(::testing::TempDir()) / ("label-faults-" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~LabelFaults() override { std::filesystem::remove_all(root_); }

  /// As RUN/labels/faces/teacher/config.
  std::filesystem::path Labels() const { return root_ / "labels" / "faces" / "teacher" / "config"; }
  std::filesystem::path FreshLabels() const {
    std::filesystem::remove_all(root_ / "labels");
    return Labels();
  }

  static Status Label(FolderLeases& leases) {
    WorkRunner runner(
        [](const RunSpec&, const Model&) {
          return Result<std::unique_ptr<Annotator>>(std::make_unique<testing_support::ScriptedAnnotator>(4));
        },
        1);
    return LabelerLoop(leases, runner, /*exit_when_idle=*/true).Run({});
  }

  /// Returns: what the labelling changes on the disk, with a mark after each commit.
  std::vector<testing::DiskChange> RecordedLabelling(FolderLeases& leases) const {
    testing::DiskTape tape(root_);
    leases.on_commit = [&] { tape.Mark(); };
    EXPECT_TRUE(Label(leases).ok());
    return tape.changes();
  }

  /// Whatever stands under a final name is whole, and what was committed is there and named.
  void ExpectIntact(const FolderLeases& leases) const { ExpectIntact(leases.committed); }
  void ExpectIntact(const std::map<std::uint64_t, std::string>& committed) const {
    const auto index = dataset::ReadLabelIndex(Labels());
    ASSERT_TRUE(index) << index.error().ToString();
    for (const auto& [shard, sha256] : committed) {
      ASSERT_TRUE(index->contains(shard)) << shard;
      EXPECT_EQ(index->at(shard).sha256, sha256);
    }
    for (const auto& [shard, file] : *index) {
      const auto set = dataset::ReadLabelSet(Labels(), file);
      EXPECT_TRUE(set) << set.error().ToString();
    }
    const auto names = io::ListFolder(Labels());
    if (!names) return;
    for (const std::string& name : *names) {
      if (name == "index.json" || name == dataset::kLabelIndexLock) continue;
      EXPECT_EQ(name.substr(7, 16), io::Sha256OfFile(Labels() / name)->substr(0, 16));
    }
  }

  std::filesystem::path root_;
};

TEST_F(LabelFaults, APowerCutLosesNoCommittedLabelSetAndLeavesNoneThatIsNotWhole) {
  FolderLeases leases(FreshLabels());
  const std::vector<testing::DiskChange> changes = RecordedLabelling(leases);
  ASSERT_EQ(leases.committed.size(), kShards);
  const std::filesystem::path recorded = root_;
  root_ = testing::ImageFolder();
  const int images = testing::ForEachCrash(changes, root_, [&](int acknowledged) {
    std::map<std::uint64_t, std::string> committed = leases.committed;
    committed.erase(committed.lower_bound(static_cast<std::uint64_t>(acknowledged)), committed.end());
    ExpectIntact(committed);
  });
  root_ = recorded;
  EXPECT_GT(images, 300);
}

TEST_F(LabelFaults, APowerCutTellsOfALabelSetWhoseFolderWasNotSynced) {
  FolderLeases leases(FreshLabels());
  std::vector<testing::DiskChange> changes = RecordedLabelling(leases);
  std::erase_if(changes, [](const auto& change) { return change.kind == testing::DiskChange::Kind::kSyncFolder; });
  const std::filesystem::path recorded = root_;
  root_ = testing::ImageFolder();
  int lost = 0;
  testing::ForEachCrash(changes, root_, [&](int acknowledged) {
    const auto index = dataset::ReadLabelIndex(Labels());
    if (!index || index->size() < static_cast<std::size_t>(acknowledged)) ++lost;
  });
  root_ = recorded;
  EXPECT_GT(lost, 20);
}

TEST_F(LabelFaults, ALabelerWhoseDiskFailsTellsItOnceWritesNothingMoreAndLeavesWith204) {
  const int failures = SweepDiskFaults([&](const DiskFault& fault) {
    FolderLeases leases(FreshLabels());
    Status status;
    const bool happened = fault.Strike(root_, [&] { status = Label(leases); });
    ExpectStorageFailure(status, fault);
    ExpectIntact(leases);
    if (status.ok()) {
      EXPECT_EQ(leases.committed.size(), kShards);
      return Struck{happened, false};
    }
    const std::uint64_t broken = leases.committed.size();
    // The write of the set is told to whoever leases; that of the index is the commit itself, and is its caller's.
    const Told once = {{broken, exit_code::kStorageFailed}};
    EXPECT_TRUE(leases.failed.empty() || leases.failed == once);
    EXPECT_EQ(leases.returned, broken + 1 < kShards ? Shards{broken + 1} : Shards{}) << "the lease taken ahead";
    return Struck{happened, true};
  });
  EXPECT_GT(failures, 5 * 3 * 10) << "five calls a set and seven an index, of three shards, in five ways";
}

TEST_F(LabelFaults, ASyncThatFailsAHundredTimesIsA204EachTime) {
  for (int round = 0; round < 100; ++round) {
    FolderLeases leases(FreshLabels());
    std::filesystem::create_directories(Labels());
    Status status;
    {
      // The folder's name is synced twice, and the file created and written, before the file's sync.
      const testing::DiskFaults faults(root_, testing::DiskFaults::Kind::kFail, 5, EIO);
      status = Label(leases);
    }
    ASSERT_NE(status.message().find("cannot sync"), std::string_view::npos) << status.ToString();
    ASSERT_EQ(ProcessExitCode(status), exit_code::kStorageFailed);
    ASSERT_THAT(leases.committed, IsEmpty());
    ASSERT_THAT(leases.failed, ElementsAre(std::pair(std::uint64_t{0}, exit_code::kStorageFailed)));
    ExpectIntact(leases);
  }
}

TEST_F(LabelFaults, AFeatureFileIsWholeOrNotThere) {
  const auto frames = root_ / "frames";
  std::filesystem::create_directories(frames);
  for (const char* number : {"00001", "00002", "00003"}) {
    std::filesystem::copy_file(FERMENT_FIXTURES "/jpeg/rgb.jpg", frames / (std::string(number) + ".jpg"));
  }
  dataset::Video video;
  video.name = "clip";
  video.folder = frames;
  video.frames_with_image = {1, 2, 3};
  const RunSpec spec = SpecOfPictures();
  const std::string dataset = "clips";
  std::set<std::string> sound, seen;
  (void)SweepDiskFaults([&](const DiskFault& fault) {
    std::filesystem::remove_all(root_ / "features");
    const Model model{"student", "digest", root_ / "features" / "clips"};
    testing_support::ScriptedAnnotator annotator(2);
    std::atomic<std::uint64_t> done = 0;
    Result<FeatureFile> written = Fail(InternalError("not tried"));
    const bool happened = fault.Strike(root_, [&] {
      written = ExtractVideo({spec, dataset, model, 1}, video, annotator, {}, done);
    });
    const Status status = written ? Status() : written.error();
    ExpectStorageFailure(status, fault);
    const auto file = model.output_dir / "clip.npz";
    if (written) sound.insert(written->sha256);
    if (std::filesystem::exists(file)) seen.insert(*io::Sha256OfFile(file));
    return Struck{happened, !written};
  });
  EXPECT_EQ(sound.size(), 1U);
  EXPECT_EQ(seen, sound) << "what was seen under the file's name, also after a failure";
}

}  // namespace
}  // namespace ferment::labeler
