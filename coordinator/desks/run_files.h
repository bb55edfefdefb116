// SPDX-License-Identifier: Apache-2.0
//
// The port through which the scheduler touches a run's folder and its data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "coordinator/core/job.h"

namespace ferment::coordinator {

/// What a shard job is about, and into which shards it falls.
struct ShardPlan {
  ShardWork work;
  std::vector<PlannedShard> shards;
};

/// One committed shard of a label job.
struct LabelEntry {
  std::uint64_t shard = 0;
  ResultFile file;
  RecordCounts counts;
};

/// Fails once another coordinator leads (EventStore::Confirm). As io::Fence.
using Fence = std::function<Status()>;

/// An index.json in the making. What is not finished leaves nothing behind. Thread and errors: as RunFiles.
class LabelIndexMaking {
 public:
  virtual ~LabelIndexMaking() = default;
  /// Takes the next shards, ascending. They are on the disk, or in few bytes, when it returns.
  virtual Status Append(std::span<const LabelEntry> entries) = 0;
  /// Replaces the index atomically. Call once, last.
  virtual Status Finish(const Fence& fence) = 0;
};

/// Returns: whether a disk failed in what was asked of it, a sync above all, rather than being full: nothing may be
/// tried on it again by this process.
inline bool DiskFailed(const Status& status) {
  return status.code() == StatusCode::kUnavailable && status.exit_code() == exit_code::kStorageFailed;
}

/// What takes a Fence shows nothing new once the fence has failed, nor after a later leader wrote the same file: a
/// coordinator that is stopped at any instant and goes on finds that it comes too late. Errors of these: Aborted with
/// 202, then; those of the fence and of io::WriteFileAtomically.
///
/// Thread: all calls but FileSize come from one thread at a time, never the scheduler's.
class RunFiles {
 public:
  virtual ~RunFiles() = default;
  /// Takes the run's folder for `owner`, a name of the run that no other store has too, until LeaveRun or the end of
  /// this process; makes its folders, and its spec.yaml where there is none. Errors: Aborted (202) where a process of
  /// another owner has it; InvalidArgument (64), naming the keys, where it was begun with another spec: nothing is
  /// written there, then, neither by what follows; as writing (73, 204).
  virtual Status PrepareRun(const RunSpec& spec, const std::filesystem::path& run_dir, const std::string& owner) = 0;
  /// The run has ended: its folder is anybody's.
  virtual void LeaveRun(const std::filesystem::path& run_dir) = 0;
  /// Counts the FR source. Errors: NotFound or DataLoss (65) where it is missing, empty or damaged.
  virtual Result<ShardPlan> PlanLabelling(const RunSpec& spec, const ModelFile& teacher) = 0;
  /// One shard a video that has frames. Errors: as PlanLabelling.
  virtual Result<ShardPlan> PlanFeatures(const RunSpec& spec, std::span<const ModelFile> models) = 0;
  /// Begins what shall replace index.json in `folder`; for one folder, one at a time.
  virtual Result<std::unique_ptr<LabelIndexMaking>> BeginLabelIndex(const std::filesystem::path& folder,
                                                                    const Fence& fence) = 0;
  /// Replaces the run's phases.json atomically.
  virtual Status WritePhaseTable(const std::filesystem::path& run_dir, const std::string& text, const Fence& fence) = 0;
  /// Removes what the job published, so that no later phase takes it. Errors: as writing; a result that is not there is
  /// none.
  virtual Status WithdrawResult(const std::filesystem::path& run_dir, const std::string& job_id) = 0;
  virtual Status WriteReport(const std::filesystem::path& run_dir, const Fence& fence) = 0;
  /// Errors: NotFound; where the file is in an object store, that store's. Thread: any.
  virtual Result<std::uint64_t> FileSize(const std::filesystem::path& file) = 0;
};

}  // namespace ferment::coordinator
