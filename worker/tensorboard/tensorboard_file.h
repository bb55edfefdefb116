// SPDX-License-Identifier: Apache-2.0
//
// The event files that one process writes of a job.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "worker/curve/background_writer.h"

namespace ferment::worker {

/// events.out.tfevents.<seconds since 1970>.<host>.<pid>.0, in the job's folder. Nothing is synced.
///
/// TensorBoard reads a folder's files by their names and each but the last once, so the seconds are later than those of
/// every file that is there, whatever the clock says. A file begins with the step from which it counts in place of what
/// is in the files before.
///
/// Thread: one at a time.
class TensorboardFile final : public RecordFile {
 public:
  /// Touches no disk. `next_step`: the first that this process makes.
  TensorboardFile(std::filesystem::path folder, std::uint64_t next_step, const Clock& clock);
  ~TensorboardFile() override;
  TensorboardFile(const TensorboardFile&) = delete;
  TensorboardFile& operator=(const TensorboardFile&) = delete;

  /// Appends records, of which `last_step` is the last, to the file; makes folder and file where there are none. After
  /// a failure none of these records count, and the next go into a new file, since they would not be read behind half a
  /// record. Errors: those of io::WriteErrno.
  Status Append(std::string_view records, std::uint64_t last_step) override;

 private:
  Status Begin();
  void End();

  const std::filesystem::path folder_;
  const Clock& clock_;
  /// Below 0: none is open.
  int handle_ = -1;
  std::filesystem::path path_;
  /// The first of which nothing is written.
  std::uint64_t next_step_;
  bool has_records_ = false;
};

}  // namespace ferment::worker
