// SPDX-License-Identifier: Apache-2.0
//
// The curve of a job, over all the processes that work on it one after the other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "common/io/fenced_writer.h"
#include "worker/curve/background_writer.h"

namespace ferment::worker {

/// Returns: one line: the step, and its figures but for those that are not finite.
std::string CurveRow(std::uint64_t step, const std::map<std::string, double>& figures);

/// logs/curve-<job>.jsonl: one CurveRow a logged step. Nothing is synced.
///
/// The first rows of a process, and those after a failure, make the file anew from the whole rows that are there of
/// steps before them. A former trainer's file has no name any more then.
class CurveFile final : public RecordFile {
 public:
  /// Touches no disk. `next_step`: the first that this process makes; `may_write`: whether the curve is still its own.
  CurveFile(std::filesystem::path path, std::uint64_t next_step, io::Fence may_write);
  ~CurveFile() override;
  CurveFile(const CurveFile&) = delete;
  CurveFile& operator=(const CurveFile&) = delete;

  /// Errors: those of `may_write` and of io::WriteErrno.
  Status Append(std::string_view rows, std::uint64_t last_step) override;

 private:
  Status Begin();
  void End();

  const std::filesystem::path path_;
  /// The first of which nothing is written.
  std::uint64_t next_step_;
  const io::Fence may_write_;
  io::FencedWriter writer_;
  /// Below 0: none is open.
  int handle_ = -1;
};

}  // namespace ferment::worker
