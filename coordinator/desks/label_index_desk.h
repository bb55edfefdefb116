// SPDX-License-Identifier: Apache-2.0
//
// Keeps each label job's index.json in step with what is committed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/desks/run_files.h"
#include "coordinator/desks/task_runner.h"

namespace ferment::coordinator {

/// An index is written whole, and grows with its job: it is made in pieces of some thousands of shards, each gathered
/// in one round and written on the `files` thread before the next one is gathered. After each piece it rests for many
/// times as long as the piece took, so that large indexes hold nobody up; but that of a complete job is written at
/// once.
///
/// Thread: the scheduler's.
class LabelIndexDesk {
 public:
  /// Run and job.
  using JobKey = std::pair<std::string, std::string>;
  struct Parts {
    Ledger& ledger;
    const Clock& clock;
    RunFiles& run_files;
    TaskRunner& files;
    /// Queues work for the scheduler's thread.
    std::function<void(std::function<void()>)> come_back;
    /// Fails once another coordinator leads; called on the `files` thread.
    Fence fence;
    /// Told of an index that could not be written.
    std::function<void(const JobKey&, const Status&)> failed;
    /// Shards a piece.
    std::uint64_t piece = 4096;
  };
  explicit LabelIndexDesk(Parts parts) : parts_(std::move(parts)) {}

  /// Does what there is to do this round. Returns: whether the index names all that is committed.
  bool IsCurrent(const Run& run, const Job& job);
  /// The job has ended, or its shards may be others from now on.
  void Forget(const JobKey& key);
  void ForgetAll();

 private:
  /// Touched on the `files` thread alone while a piece is there.
  using Making = std::shared_ptr<std::unique_ptr<LabelIndexMaking>>;
  struct Index {
    /// Tells it from one of the same job before it was forgotten.
    std::uint64_t number = 0;
    std::uint64_t written = 0;
    bool known = false;
    /// A piece is being written.
    bool busy = false;
    Making making;
    std::uint64_t looked_at = 0;
    std::uint64_t named = 0;
    MonotonicTime begun{};
    /// Not before then, unless the job is complete.
    MonotonicTime next{};
  };
  struct Piece {
    std::filesystem::path folder;
    std::vector<LabelEntry> entries;
    bool last = false;
  };

  /// Looks at the next shards; what is committed behind its back is for the next index.
  Piece Gather(const Run& run, const Job& job, Index& index) const;
  /// On the `files` thread.
  Status Write(const Piece& piece, std::unique_ptr<LabelIndexMaking>& making) const;
  Status Append(const Piece& piece, std::unique_ptr<LabelIndexMaking>& making) const;
  void HandleWritten(const JobKey& key, std::uint64_t number, const Making& making, bool last, const Status& status);
  void Drop(Making making) const;

  Parts parts_;
  std::uint64_t numbers_ = 0;
  std::map<JobKey, Index> indexes_;
};

}  // namespace ferment::coordinator
