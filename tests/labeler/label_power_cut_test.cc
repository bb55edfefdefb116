// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/dataset/labels/label_index.h"
#include "common/io/checksum.h"
#include "common/io/local_file_system.h"
#include "tests/support/crash_images.h"
#include "tests/support/folder_leases.h"

namespace ferment::labeler {
namespace {

using testing::CrashImages;
using testing::CrashReport;

constexpr std::uint64_t kShards = 6;
constexpr std::uint64_t kShardRecords = 2;

class LabelPowerCut : public ::testing::Test {
 protected:
  ~LabelPowerCut() override { std::filesystem::remove_all(root_); }

  /// As RUN/labels/faces/teacher/config.
  std::filesystem::path Labels() const { return root_ / "labels" / "faces" / "teacher" / "config"; }

  /// The first `acknowledged` shards must be in the index, and of others whatever is there must be what was written.
  std::string WrongIndex(const FolderLeases& leases, int acknowledged) const {
    const auto index = dataset::ReadLabelIndex(Labels());
    if (!index) return index.error().ToString();
    if (index->size() < static_cast<std::size_t>(acknowledged)) return "a commit is not in the index";
    for (const auto& [shard, file] : *index) {
      const auto committed = leases.committed.find(shard);
      if (committed == leases.committed.end() || committed->second != file.sha256) return "another set in the index";
      const auto set = dataset::ReadLabelSet(Labels(), file);
      if (!set) return set.error().ToString();
    }
    return "";
  }
  /// Whatever stands under a final name must be what its name says.
  std::string WrongNames() const {
    const auto names = io::ListFolder(Labels());
    if (!names) return "";
    for (const std::string& name : *names) {
      if (name != "index.json" && name.substr(7, 16) != io::Sha256OfFile(Labels() / name)->substr(0, 16)) return name;
    }
    return "";
  }

  const std::filesystem::path root_ = testing::FreshImageFolder("label-power-cut");
};

TEST_F(LabelPowerCut, WhatIsInTheIndexIsWholeAndWhatWasCommittedIsInIt) {
  FolderLeases leases(Labels(), kShards, kShardRecords);
  CrashImages images(root_);
  leases.after_commit = [&] { images.Acknowledge(); };
  ASSERT_TRUE(LabelAll(leases).ok());
  ASSERT_EQ(leases.committed.size(), kShards);
  images.Stop();
  EXPECT_TRUE(images.SawAll());
  const CrashReport report = images.Try(4, [&](int acknowledged) -> std::string {
    if (const std::string wrong = WrongIndex(leases, acknowledged); !wrong.empty()) return wrong;
    if (const std::string name = WrongNames(); !name.empty()) return "under a final name, and not whole: " + name;
    FolderLeases again(Labels(), kShards, kShardRecords);
    const Status status = LabelAll(again);
    if (!status.ok()) return "it does not go on: " + status.ToString();
    return again.committed == leases.committed ? "" : "it goes on to other labels";
  });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(report.images, 400);
}

// What the next labeler finds there may have been seen by nobody but the page cache.
TEST_F(LabelPowerCut, ALabelerThatGoesOnWhereOneWasKilledRestsOnNothingThatIsNotSynced) {
  int tried = 0;
  for (int call = 1;; ++call) {
    SCOPED_TRACE("killed at call " + std::to_string(call));
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    CrashImages images(root_);
    FolderLeases first(Labels(), 1, kShardRecords);
    if (!images.Kill(call, [&] { (void)LabelAll(first); })) break;
    FolderLeases next(Labels(), 1, kShardRecords);
    next.after_commit = [&] { images.Acknowledge(); };
    ASSERT_TRUE(LabelAll(next).ok());
    images.Stop();
    EXPECT_TRUE(images.SawAll());
    const CrashReport report = images.Try(
        1, [&](int acknowledged) { return WrongIndex(next, acknowledged); }, /*from=*/1);
    EXPECT_EQ(report.broken, 0) << report.first;
    ++tried;
  }
  EXPECT_GT(tried, 15);
}

}  // namespace
}  // namespace ferment::labeler
