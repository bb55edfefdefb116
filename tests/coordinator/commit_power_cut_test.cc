// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/dataset/labels/label_index.h"
#include "coordinator/local_run_files.h"
#include "coordinator/store/sqlite_event_store.h"
#include "tests/support/crash_images.h"

namespace ferment::coordinator {
namespace {

using testing::CrashImages;
using testing::CrashReport;

constexpr std::uint64_t kShards = 5;
constexpr std::uint64_t kRecords = 900;

/// More than two pages of probabilities.
dataset::LabelSet SetOf(std::uint64_t shard) {
  dataset::LabelSet set;
  set.origin = {"faces", "teacher", "config"};
  set.shard = shard;
  set.classes = {"a", "b"};
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    set.key.push_back(shard * kRecords + i);
    set.label.push_back(static_cast<std::uint8_t>((shard + i) % 2));
    set.confidence_half.push_back(0x3C00);
    for (std::uint64_t c = 0; c < 2; ++c) set.probabilities_half.push_back((shard + i) % 2 == c ? 0x3C00 : 0);
    set.status.push_back(dataset::LabelStatus::kLabelled);
  }
  return set;
}

/// A labeler's file, the coordinator's log, and the index that it keeps, all of one machine.
class CommitPowerCut : public ::testing::Test {
 protected:
  ~CommitPowerCut() override { std::filesystem::remove_all(root_); }

  std::filesystem::path Store() const { return root_ / "ferment.db"; }
  std::filesystem::path Labels() const { return root_ / "run" / "labels" / "faces" / "teacher" / "config"; }

  /// As a commit goes: the file by the labeler; the log, after which it is told so; the index behind it.
  void Commit(EventStore& store, RunFiles& files, std::uint64_t shard, CrashImages& images) {
    const auto written = dataset::WriteLabelSet(Labels(), SetOf(shard));
    ASSERT_TRUE(written) << written.error().ToString();
    written_[shard] = *written;
    ShardCommitted committed;
    committed.key.shard = shard;
    committed.files = {{"labels/faces/teacher/config/" + written->file, written->sha256}};
    ASSERT_TRUE(store.Append(std::vector<Event>{committed}).ok());
    images.Acknowledge();
    entries_.push_back({shard, committed.files[0], {kRecords, kRecords, 0, 0, {}}});
    const auto making = files.BeginLabelIndex(Labels(), [] { return Status(); });
    ASSERT_TRUE(making) << making.error().ToString();
    ASSERT_TRUE((*making)->Append(entries_).ok());
    ASSERT_TRUE((*making)->Finish([] { return Status(); }).ok());
  }

  /// Returns: whether the file of the shard has the bytes that were committed.
  bool Reads(std::uint64_t shard) const {
    const auto set = dataset::ReadLabelSet(Labels(), written_.at(shard));
    return set && set->key.front() == shard * kRecords;
  }
  std::string WrongIndex() const {
    const auto index = dataset::ReadLabelIndex(Labels());
    if (!index) return index.error().ToString();
    for (const auto& [shard, file] : *index) {
      if (file != written_.at(shard) || !Reads(shard)) return "the index names what is not there";
    }
    return "";
  }
  std::string WrongLog(int acknowledged) const {
    const auto store = OpenSqliteEventStore(Store());
    if (!store) return store.error().ToString();
    std::uint64_t logged = 0;
    bool in_order = true;
    bool readable = true;
    const Status read = (*store)->Replay([&](const Event& event) {
      in_order = in_order && std::get<ShardCommitted>(event).key.shard == logged;
      readable = readable && Reads(logged++);
      return Status();
    });
    if (!read.ok()) return read.ToString();
    if (logged < static_cast<std::uint64_t>(acknowledged)) return "a commit is lost";
    return in_order && readable ? "" : "a commit whose label set is not there";
  }

  const std::filesystem::path root_ = testing::FreshImageFolder("commit-power-cut");
  std::map<std::uint64_t, dataset::LabelFile> written_;
  std::vector<LabelEntry> entries_;
};

TEST_F(CommitPowerCut, WhatTheLogOrTheIndexNamesCanBeRead) {
  CrashImages images(root_);
  {
    const auto store = OpenSqliteEventStore(Store());
    ASSERT_TRUE(store) << store.error().ToString();
    const auto files = MakeLocalRunFiles();
    for (std::uint64_t shard = 0; shard < kShards; ++shard) Commit(**store, *files, shard, images);
  }
  images.Stop();
  EXPECT_TRUE(images.SawAll());
  const CrashReport report = images.Try(3, [&](int acknowledged) {
    const std::string wrong = WrongLog(acknowledged);
    return wrong.empty() ? WrongIndex() : wrong;
  });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(report.images, 600);
}

}  // namespace
}  // namespace ferment::coordinator
