// SPDX-License-Identifier: Apache-2.0
//
// Writes a job's curve for TensorBoard behind the training's back: no disk can hold the training up, or make it fail.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "common/base/clock.h"

namespace ferment::worker {

struct TensorboardOptions {
  /// Of records that wait for the disk: more than a job's whole curve takes. What is beyond is left out.
  std::size_t most_pending_bytes = std::size_t{4} << 20;
  /// The destructor waits this long for the disk; part of the time that a trainer has to leave in.
  std::chrono::milliseconds farewell{2000};
};

/// Figures that cannot be written, or for which the disk is too slow, are left out and counted: one warning when that
/// begins, one line with their number at the end. Later ones are tried all the same.
///
/// Thread: one calls the methods; the writing goes on a thread of its own. The destructor waits for it up to
/// `farewell`, then leaves it to the end of the process: it may hang in the kernel.
class TensorboardWriter {
 public:
  /// Touches no disk until the first figures. Requires: the clock outlives the process.
  TensorboardWriter(const std::filesystem::path& folder, std::uint64_t next_step,
                    const TensorboardOptions& options = {}, const Clock& clock = SystemClock());
  ~TensorboardWriter();
  TensorboardWriter(const TensorboardWriter&) = delete;
  TensorboardWriter& operator=(const TensorboardWriter&) = delete;

  /// Has the figures of a step written. Requires: steps ascend.
  void Write(std::uint64_t step, const std::map<std::string, double>& figures);
  /// Returns: steps that are left out so far.
  std::uint64_t dropped() const;

 private:
  class Queue;

  const Clock& clock_;
  const std::chrono::milliseconds farewell_;
  /// Shared with the thread, which may outlive this.
  std::shared_ptr<Queue> queue_;
  std::jthread thread_;
};

}  // namespace ferment::worker
