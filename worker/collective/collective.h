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
/// takes no other, and of any length that fits there. A verb returns when this rank's buffer holds the result. Sums are
/// the same bits on every rank, and on every run of as many ranks; averages are the caller's, who divides by faces more
/// often than by ranks. Errors, of every verb: DeadlineExceeded (exit code 203) when the others did not come within the
/// deadline given at creation; Unavailable (201) when one of them is gone or has aborted. After an error only Abort is
/// of use.
///
/// Thread: one thread at a time, the one that created it; BeginSum and AdvanceSums of buffers on a GPU may come from
/// the thread that differentiates, while that one waits for it.
class Collective {
 public:
  virtual ~Collective() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// In place: every rank's buffer becomes the element-wise sum over ranks. An empty buffer is a barrier at most.
  virtual Status AllReduceSum(std::span<float> values) = 0;
  virtual Status AllReduceSum(std::span<double> values) = 0;
  /// Begins an in-place sum that AwaitSums ends. Several may be under way, and other verbs may come between. The buffer
  /// is the collective's until then. A backend may make the whole sum at once, as this one does.
  virtual Status BeginSum(std::span<float> values) { return AllReduceSum(values); }
  virtual Status BeginSum(std::span<double> values) { return AllReduceSum(values); }
  /// Gives the begun sums some time, without waiting for anyone. Returns: how many are still under way; they end in the
  /// order in which they were begun.
  virtual Result<std::size_t> AdvanceSums() { return std::size_t{0}; }
  /// Returns when all begun sums are in their buffers.
  virtual Status AwaitSums() { return Status(); }
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
