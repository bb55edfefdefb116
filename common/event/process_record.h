// SPDX-License-Identifier: Apache-2.0
//
// Remembers on disk which processes belong to a run, so that a later start can find or end those left over.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::event {

/// A value. pid and start time together name one process for as long as the machine is up.
struct ProcessRecord {
  /// coordinator, labeler or trainer.
  std::string role;
  pid_t pid = -1;
  /// Clock ticks since boot: field 22 of /proc/PID/stat.
  std::uint64_t start_time = 0;
  std::string program;
  /// What the process works on, such as "<run>/cotrain/2"; may be empty.
  std::string job = {};

  /// True while exactly this process runs; a zombie does not.
  bool Alive() const;
};

/// What /proc/PID/stat says of a process.
struct ProcessStat {
  /// R, S, D, Z ...
  char state = '?';
  std::uint64_t start_time = 0;
};

/// Returns: nothing where there is no such process, not even a zombie.
std::optional<ProcessStat> ReadProcessStat(pid_t pid);

/// Returns: start time in clock ticks, or nothing where no such process runs (a zombie counts as gone).
std::optional<std::uint64_t> ProcessStartTime(pid_t pid);

/// Writes <folder>/<role>-<pid>.json, and the folder if need be. Errors: as writing a file.
Status WriteProcessRecord(const std::filesystem::path& folder, const ProcessRecord& record);
void RemoveProcessRecord(const std::filesystem::path& folder, const ProcessRecord& record);
/// Returns: every readable record; damaged ones are logged and left out. A missing folder holds none.
std::vector<ProcessRecord> ReadProcessRecords(const std::filesystem::path& folder);

/// Ends every recorded process that still runs, and removes the records. A trainer gets USR2 (it saves a checkpoint;
/// TERM would let mpirun kill its ranks after a second), the others TERM; what remains after `patience`, or once
/// `hurry` is requested, is killed with its group. Returns: how many processes were ended. Errors: DeadlineExceeded
/// where one survived even that.
Result<int> EndOrphans(const std::filesystem::path& folder, const std::stop_token& hurry = {},
                       std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace ferment::event
