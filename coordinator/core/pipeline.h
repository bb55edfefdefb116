// SPDX-License-Identifier: Apache-2.0
//
// From a spec's facts to a graph of jobs, and from the graph's state to what happens next: pure functions.
//
//   teacher -> label -> cotrain -> label-1 -> cotrain-1 -> ... -> finetune -> features -> temporal -> evaluate
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "coordinator/core/job_book.h"

namespace ferment::coordinator {

/// What the graph depends on.
struct RunFacts {
  /// Times that labelling and co-training are done.
  std::uint32_t rounds = 1;
  /// Without videos, features and temporal are skipped.
  bool has_videos = false;
};

/// Returns: the jobs in the order in which they run.
std::vector<PlannedJob> PlanJobs(const RunFacts& facts);

/// Returns: whether the job is pending and all that it needs has ended well or is skipped.
bool MayStart(const Run& run, const Job& job);

/// Failed starts after the first that are forgiven where the exit code says that trying again may help.
inline constexpr std::uint32_t kRetryLimit = 3;

/// Returns: whether what an exit code tells of may pass by itself (128-255), or not: 1-127, and 204, since a full disk
/// waits for somebody to free space.
inline bool MayRetry(int exit_code) {
  return exit_code >= 128 && exit_code <= 255 && exit_code != exit_code::kStorageFailed;
}

/// What follows from the exit of a trainer job's latest attempt.
struct ExitVerdict {
  enum class Kind { kSucceeded, kStartAgain, kFailed };
  Kind kind = Kind::kStartAgain;
  Failure failure;
};
/// Requires: the attempt has exited.
ExitVerdict JudgeExit(const Run& run, const Job& job);

/// Returns: why the run must not go on (a failed job, a failed shard), or nullopt.
std::optional<Failure> FirstFailure(const Run& run);

/// Returns: whether the run is still running and yet will end, whatever happens: it was cancelled, a job failed, or one
/// will have once its trainer, which has said why, has left.
bool IsEnding(const Run& run);

/// Returns: phase, reason and what to do, as the person who started the run should read it.
Failure DescribeFailure(const Run& run, const Job& job, const Failure& reason);

struct JobEnd {
  JobState state = JobState::kSkipped;
  Failure failure;
};
/// Returns: how this job ends because of a stopped teacher, where it has not ended yet. The first teacher: its label
/// job fails, and with it the run. A later one: its round and those after it are left out, and the run goes on with
/// what the round before it brought.
std::optional<JobEnd> EndAfterStop(const Run& run, const Job& job);

/// Returns: whether a trainer of this job has anything to do, or is to leave: the run was cancelled or suspended, one
/// of its jobs failed, or the job's teacher was stopped.
bool MayGoOn(const Run& run, const Job& job);

/// Returns: the label job of the latest teacher that was published, while its labels are made or learned from; nullptr
/// before the first and after the last round.
const Job* TeacherInUse(const Run& run);

struct RunOutcome {
  RunState state = RunState::kSucceeded;
  Failure failure;
};
/// Returns: how the run ended once each of its jobs has, else nullopt.
std::optional<RunOutcome> Outcome(const Run& run);

/// Returns: the job whose teacher labels this label job: `teacher` in round 0, then the co-training before it.
std::string TeacherSource(std::uint32_t round);

}  // namespace ferment::coordinator
