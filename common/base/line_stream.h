// SPDX-License-Identifier: Apache-2.0
//
// Lines for a reader who may stop reading, such as whoever takes a process's standard error.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

namespace ferment {

/// Writes lines to a file descriptor. Where that takes nothing for as long as its patience (a full pipe, a stopped
/// terminal), lines are left out, without another wait, until it takes some again: whoever reads a log holds up nobody
/// who writes it by more than that.
///
/// Not bounded: a regular file's disk, and a pipe that another process fills in just that moment.
/// Thread: one at a time.
class LineStream {
 public:
  /// `fd` stays the caller's, and stays open.
  LineStream(int fd, std::chrono::milliseconds patience);

  /// `line` with its newline. Returns: whether all of it was written; what a part was written of ends there.
  bool Write(std::string_view line);

 private:
  bool WaitsForRoom();
  bool WriteAll(std::string_view text);

  const int fd_;
  const std::chrono::milliseconds patience_;
  /// Bytes that are taken at once where anything is.
  const std::size_t piece_;
  bool stands_still_ = false;
  bool torn_ = false;
};

}  // namespace ferment
