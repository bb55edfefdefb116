// SPDX-License-Identifier: Apache-2.0
//
// Keeps each label job's index.json in step with what is committed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/ledger.h"
#include "coordinator/run_files.h"
#include "coordinator/task_runner.h"

namespace ferment::coordinator {

/// An index is written whole, and grows with its job: it is gathered some thousands of shards a round, written on the
/// `files` thread, and takes a small part of the time, save for the last one, of a complete job, which is written at
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
  };
  explicit LabelIndexDesk(Parts parts) : parts_(std::move(parts)) {}

  /// Does what there is to do this round. Returns: whether the index names all that is committed.
  bool IsCurrent(const Run& run, const Job& job);
  /// The job's shards may be others from now on.
  void Forget(const JobKey& key) { indexes_.erase(key); }
  void ForgetAll() { indexes_.clear(); }

 private:
  struct Index {
    std::uint64_t written = 0;
    bool known = false;
    bool busy = false;
    std::vector<LabelEntry> gathered;
    std::uint64_t looked_at = 0;
    MonotonicTime begun{};
    /// Not before then, unless the job is complete.
    MonotonicTime next{};
  };

  /// Looks at some more shards. Returns: whether all were looked at; what was committed behind its back is for the next
  /// index.
  bool Gather(const Job& job, Index& index) const;
  void HandleWritten(const JobKey& key, std::uint64_t committed, const Status& status);

  Parts parts_;
  std::map<JobKey, Index> indexes_;
};

}  // namespace ferment::coordinator
