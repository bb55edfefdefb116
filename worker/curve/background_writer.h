// SPDX-License-Identifier: Apache-2.0
//
// Writes what a job tells of its steps behind the training's back: no disk can hold the training up, or make it fail.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "common/base/logging.h"
#include "common/base/status.h"

namespace ferment::worker {

/// Where the records of steps go. Thread: one at a time, also one that outlives its writer.
class RecordFile {
 public:
  virtual ~RecordFile() = default;
  /// Appends records, of which `last_step` is the last. After a failure none of these count; later ones are tried all
  /// the same.
  virtual Status Append(std::string_view records, std::uint64_t last_step) = 0;
};

struct BackgroundOptions {
  /// Of records that wait for the disk: more than a job's whole curve takes. What is beyond is left out.
  std::size_t most_pending_bytes = std::size_t{4} << 20;
  /// The destructor waits this long for the disk; part of the time that a trainer has to leave in.
  std::chrono::milliseconds farewell{2000};
};

/// Records that cannot be written, or for which the disk is too slow, are left out and counted: one warning when that
/// begins (<name>_not_written), one line with their number at the end (<name>_incomplete). Later ones are tried all the
/// same.
///
/// Thread: any; the writing goes on a thread of its own. The destructor waits for it up to `farewell`, then leaves it
/// to the end of the process: it may hang in the kernel.
class BackgroundWriter {
 public:
  /// `where`: the file or folder, as the log names it.
  BackgroundWriter(const std::string& name, const LogField& where, std::unique_ptr<RecordFile> file,
                   const BackgroundOptions& options = {});
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  /// Has the record of a step written. Requires: steps ascend.
  void Write(std::uint64_t step, std::string_view record);
  /// Returns: whether the kernel has all records of before, but for those that are left out, within `patience`. Where a
  /// wait was in vain, neither this nor the destructor waits again until the disk has taken something.
  bool Await(std::chrono::milliseconds patience) const;
  /// Returns: steps that are left out so far.
  std::uint64_t dropped() const;

 private:
  class Queue;

  const std::chrono::milliseconds farewell_;
  /// Shared with the thread, which may outlive this.
  std::shared_ptr<Queue> queue_;
  std::jthread thread_;
};

}  // namespace ferment::worker
