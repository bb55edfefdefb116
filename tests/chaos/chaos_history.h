// SPDX-License-Identifier: Apache-2.0
//
// What each client asked and was told, a JSON line each, in files that survive the client's kill -9.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::chaos {

/// A call is an invoke, and then ok (it was acknowledged), fail (it was refused for good) or info (nobody can tell); a
/// process that is killed in between leaves the invoke alone.
struct HistoryLine {
  /// CLOCK_MONOTONIC of this machine, which no test moves; one for all processes.
  std::chrono::nanoseconds at{0};
  /// Role or name and process id, such as labeler-2/4711.
  std::string who = {};
  /// lease, renew, commit, return, fail_shard, token, complete, submit, cancel; or what the harness did.
  std::string what = {};
  std::string outcome = {};
  std::string run = {};
  std::string job = {};
  std::uint64_t shard = 0;
  std::uint64_t epoch = 0;
  /// Of a trainer's call.
  std::uint32_t attempt = 0;
  /// Sha256 in hex of the file that was brought; a run's folder in a submission.
  std::string digest = {};
  std::string note = {};
};

/// Appends to one file, a single write a line. Thread: any.
class HistoryWriter {
 public:
  /// Opens <folder>/<who>.jsonl, a slash in `who` becoming a dash. Ends the process where it cannot be opened.
  HistoryWriter(const std::filesystem::path& folder, std::string who);
  ~HistoryWriter();
  HistoryWriter(const HistoryWriter&) = delete;
  HistoryWriter& operator=(const HistoryWriter&) = delete;

  /// Sets `at` and `who`.
  void Add(HistoryLine line);
  const std::string& who() const { return who_; }

 private:
  const std::string who_;
  int file_ = -1;
};

/// Returns: "ok", "fail" (Aborted, DataLoss and whatever else is final) or "info" (the answer may have been lost).
std::string OutcomeOf(const Status& status);

/// Returns: the lines of all files, by time; a last line that was cut off is left out. Errors: DataLoss for others.
Result<std::vector<HistoryLine>> ReadHistory(const std::filesystem::path& folder);

std::string ToText(const HistoryLine& line);

}  // namespace ferment::chaos
