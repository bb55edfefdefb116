// SPDX-License-Identifier: Apache-2.0
//
// Writes checkpoints behind the training's back: a step waits for the copy into host memory, and for nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <thread>

#include "common/base/mutex.h"
#include "worker/train/job_state.h"

namespace ferment::worker {

/// What the last checkpoint has cost.
struct CheckpointCost {
  std::uint64_t next_step = 0;
  std::uint64_t bytes = 0;
  /// The training stood still for this long.
  double copy_seconds = 0;
  double write_seconds = 0;
};

/// At most one write is under way. The buffers are kept from one checkpoint to the next.
///
/// Thread: one calls the methods; the writing goes on a thread of its own. The destructor waits for it.
class CheckpointWriter {
 public:
  using Write = std::function<Status(const SavedJob&)>;
  explicit CheckpointWriter(Write write);

  /// Copies `job`, whose tensors may share memory with the networks, and has it written. Waits while one is being
  /// written: ask busy(). Errors: the failure of an earlier write.
  Status Begin(const SavedJob& job);
  bool busy() const;
  /// Returns: the first write that failed; after it nothing more is written.
  Status Failure() const;
  /// Returns: Failure() once nothing is being written.
  Status Wait();
  /// Of the last write that succeeded; zeros before.
  CheckpointCost cost() const;

 private:
  void WriteAll(std::stop_token stop);
  void CopyTensors(const RecipeState& from);

  // Constant after construction.
  const Write write_;
  // The caller's while nothing is being written, else the thread's.
  SavedJob copy_;
  CheckpointCost copy_cost_;
  // Under mutex_.
  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool pending_ FERMENT_GUARDED_BY(mutex_) = false;
  Status failure_ FERMENT_GUARDED_BY(mutex_);
  CheckpointCost cost_ FERMENT_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace ferment::worker
