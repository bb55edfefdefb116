// SPDX-License-Identifier: Apache-2.0
//
// What the ranks of one job do together: a few verbs on raw buffers, the same over threads, MPI and NCCL.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>

#include "common/base/result.h"

namespace ferment::worker {

/// One communicator.
///
/// Every rank calls the same verbs in the same order with buffers of the same length, in host memory where the backend
/// does not say that it takes others. A verb returns when this rank's buffer holds the result. Sums are the same bits
/// on every rank, and the same bits on every run with the same number of ranks. Errors, of every verb: DeadlineExceeded
/// (exit code 203) when the others did not come within the deadline given at creation; Unavailable (201) when one of
/// them is gone or has aborted. After an error the communicator is of no use but for Abort.
///
/// Thread: one thread at a time, the one that created it.
class Collective {
 public:
  virtual ~Collective() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// In place: every rank's buffer becomes the element-wise sum over ranks. An empty buffer is a barrier at most.
  virtual Status AllReduceSum(std::span<float> values) = 0;
  virtual Status AllReduceSum(std::span<double> values) = 0;
  /// Copies the buffer of `root` to every rank.
  virtual Status Broadcast(std::span<std::byte> bytes, int root) = 0;
  /// Lays the buffers of all ranks one after another, in rank order. Requires: all.size() == mine.size() * size().
  virtual Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all) = 0;
  virtual Status Barrier() = 0;
  /// Returns: the communicator of those ranks that gave the same color, in the order of their present ranks.
  virtual Result<std::unique_ptr<Collective>> Split(int color) = 0;
  /// Ends the job: waiting and later verbs of every rank fail; under MPI all processes leave with this exit code.
  virtual void Abort(int exit_code) = 0;
};

}  // namespace ferment::worker
