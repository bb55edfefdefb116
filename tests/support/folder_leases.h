// SPDX-License-Identifier: Apache-2.0
//
// A labeler's work without a coordinator: a few shards of the pictures of the fixtures, into one folder.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/dataset/labels/label_index.h"
#include "labeler/labeler_loop.h"
#include "tests/support/scripted_annotator.h"

namespace ferment::labeler {

inline RunSpec SpecOfPictures() {
  RunSpec spec;
  spec.mutable_data()->mutable_fr()->set_format("folder");
  spec.mutable_data()->mutable_fr()->set_path(FERMENT_FIXTURES "/jpeg");
  for (const char* name : {"a", "b", "c", "d"}) spec.add_classes(name);
  spec.mutable_labeling()->set_tau(1.0);
  spec.mutable_labeling()->set_max_damage(1.0);
  return spec;
}

/// Leases of the first shards, of so many pictures each; commits go into the index in `folder`, as offline.
class FolderLeases final : public LeaseClient {
 public:
  using Shards = std::vector<std::uint64_t>;
  /// Shards and the exit codes that were told of them.
  using Told = std::vector<std::pair<std::uint64_t, int>>;

  FolderLeases(std::filesystem::path folder, std::uint64_t shards, std::uint64_t records = 4)
      : folder_(std::move(folder)), shards_(shards), records_(records) {}

  Result<LeaseOffer> Take() override {
    if (taken_ >= shards_) return LeaseOffer{{}, std::chrono::milliseconds(1), true};
    Lease lease;
    lease.key.shard = taken_++;
    lease.duration = std::chrono::hours(1);
    lease.spec = spec_;
    lease.work = LabelTask{"faces", lease.key.shard * records_, records_, {"teacher", "digest", folder_}, "config"};
    return LeaseOffer{{lease}, std::chrono::milliseconds(0), false};
  }
  Result<std::chrono::milliseconds> Renew(const LeaseKey&, std::uint64_t) override {
    return std::chrono::milliseconds(std::chrono::hours(1));
  }
  Result<LeaseOffer> Commit(const Lease& lease, const ShardResult& result) override {
    const ResultFile& file = result.files.at(0);
    const Counts& counts = result.counts;
    FERMENT_RETURN_IF_ERROR(
        dataset::CommitToLabelIndex(folder_, lease.key.shard,
                                    {file.file.filename().string(),
                                     file.sha256,
                                     {counts.read, counts.labelled, counts.abstained, counts.quarantined}}));
    committed[lease.key.shard] = file.sha256;
    after_commit();
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

  std::function<void()> after_commit = [] {};
  std::map<std::uint64_t, std::string> committed;
  Shards returned;
  Told failed;

 private:
  const std::filesystem::path folder_;
  const std::uint64_t shards_;
  const std::uint64_t records_;
  const std::shared_ptr<const RunSpec> spec_ = std::make_shared<const RunSpec>(SpecOfPictures());
  std::uint64_t taken_ = 0;
};

inline Status LabelAll(FolderLeases& leases) {
  WorkRunner runner(
      [](const RunSpec&, const Model&) {
        return Result<std::unique_ptr<Annotator>>(std::make_unique<testing_support::ScriptedAnnotator>(4));
      },
      1);
  return LabelerLoop(leases, runner, /*exit_when_idle=*/true).Run({});
}

}  // namespace ferment::labeler
