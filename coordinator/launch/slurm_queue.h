// SPDX-License-Identifier: Apache-2.0
//
// Speaks with Slurm through its own programs: sbatch, squeue and scancel, each with a deadline.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ferment::coordinator {

/// A job that Slurm knows: it waits or runs, or has ended a few minutes ago (MinJobAge).
struct SlurmQueueJob {
  /// Slurm's number of it.
  std::string number;
  /// Such as RUNNING; squeue(1), "JOB STATE CODES", has them all.
  std::string state;
  /// As of wait(2); of a job that has ended.
  int wait_status = 0;
  /// Why it waits, or why it ended.
  std::string reason;
  std::string name;

  /// Whether it waits, runs, or is being cleared away.
  bool Lives() const;
  /// Such as a shell tells it: 128 + signal where one ended it.
  int ExitCode() const;
  /// Of a job that has ended and had begun nothing of ours: what the retry policy is to take that for.
  int UnbegunCode() const;
};

/// Returns: of the jobs of this name, number `begun_by`; where that is empty one that lives, or else one that has
/// ended; nullptr where there is none.
const SlurmQueueJob* FindSlurmJob(const std::vector<SlurmQueueJob>& jobs, std::string_view name,
                                  std::string_view begun_by);

/// Thread: one at a time. A call takes as long as its program, at most `deadline`.
/// Errors of all calls: NotFound with exit code 69 (no such program here); Unavailable (Slurm does not answer, or not
/// in time: what was asked for may have been done); DataLoss (the answer cannot be read, and is in the message).
class SlurmQueue {
 public:
  explicit SlurmQueue(std::chrono::milliseconds deadline) : deadline_(deadline) {}

  /// Returns: all jobs of this user that have a name as of event::SlurmName.
  Result<std::vector<SlurmQueueJob>> List() const;
  /// Returns: the number of the new job. Errors: also FailedPrecondition with exit code 69 and sbatch's words where
  /// Slurm refuses the job.
  Result<std::string> Submit(const std::filesystem::path& script, const std::string& name) const;
  /// To the batch script alone of each running job of this name; no such job is no error.
  Status Signal(const std::string& name, int signal) const;
  /// Ends each job of this name: TERM, and KILL after Slurm's KillWait; one that waits at once.
  Status Cancel(const std::string& name) const;

 private:
  Result<std::string> Ask(const std::vector<std::string>& argv) const;

  const std::chrono::milliseconds deadline_;
};

/// Reads what List asks squeue for: a header, without which nobody has answered, and "NUMBER|STATE|STATUS|REASON|NAME|"
/// a line; other jobs than ours are passed over. Errors: DataLoss naming the line.
Result<std::vector<SlurmQueueJob>> ParseSlurmJobs(std::string_view text);
/// Reads what sbatch --parsable prints: "NUMBER" or "NUMBER;CLUSTER". Errors: DataLoss naming the text.
Result<std::string> ParseSlurmNumber(std::string_view text);

}  // namespace ferment::coordinator
