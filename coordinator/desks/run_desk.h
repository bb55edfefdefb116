// SPDX-License-Identifier: Apache-2.0
//
// Takes runs in, drives each of them from job to job, and ends them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "coordinator/core/pipeline.h"
#include "coordinator/desks/label_index_desk.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/desks/run_files.h"
#include "coordinator/desks/steering_desk.h"
#include "coordinator/desks/task_runner.h"
#include "coordinator/desks/teacher_desk.h"
#include "coordinator/desks/trainer_desk.h"

namespace ferment::coordinator {

struct Submission {
  std::string request_id;
  RunSpec spec;
  /// Absolute.
  std::string run_dir;
  /// As RunUpdate's; 0: none is given.
  std::int32_t priority = 0;
  /// Nothing of a run was found in run_dir.
  bool new_folder = false;
};

/// Errors: InvalidArgument (not absolute, or with a NUL).
Status CheckRunDir(const std::string& run_dir);

/// What may start and how a run ends is Pipeline's to say; this makes it happen: trainers through TrainerDesk, shard
/// jobs by counting their data, index.json through LabelIndexDesk, phases.json and report on the `files` thread.
///
/// Thread: the scheduler's.
class RunDesk {
 public:
  struct Parts {
    Ledger& ledger;
    const Clock& clock;
    TrainerDesk& trainers;
    TeacherDesk& teachers;
    RunFiles& run_files;
    TaskRunner& files;
    /// Queues work for the scheduler's thread.
    std::function<void(std::function<void()>)> come_back;
    /// Fails once another coordinator leads; called on the `files` thread.
    Fence fence;
  };
  explicit RunDesk(Parts parts);

  /// Returns: the run's id. The folder of a failed or cancelled run with the same spec reopens that run; of a succeeded
  /// one, gives it as it is. Errors: InvalidArgument; AlreadyExists: an unfinished run has this folder;
  /// FailedPrecondition (65): the folder is new, and a run with the same spec that had begun a job has
  /// ended there, or is about to.
  Result<std::string> Submit(const Submission& submission);
  /// Does all that follows from the present state of every unfinished run.
  void Advance();
  /// Nothing is kept of the run but what the book has. It has ended.
  void Forget(const Run& run);
  /// Not ok once a disk failed below a run's folder, of a run that had not failed of it before. That run has failed by
  /// the next save; then this process must end (204).
  const Status& disk_failure() const { return disk_failure_; }

 private:
  using JobKey = LabelIndexDesk::JobKey;

  /// Has the folder made ready; nothing starts before it is.
  void Prepare(const Run& run);
  void HandlePrepared(const std::string& run_id, const Status& status);
  void AdvanceRun(const Run& run);
  void AdvanceJob(const Run& run, const Job& job);
  /// Ends or stops every job of a run that was cancelled or has failed.
  void WindDown(const Run& run);
  void StartShards(const Run& run, const Job& job);
  void HandlePlan(const JobKey& key, const Result<ShardPlan>& plan);
  void HandleIndexFailed(const JobKey& key, const Status& status);
  void GivePriority(const std::string& run_id, std::int32_t priority);
  /// Ends a job of a round whose teacher was stopped, once its trainer has left and its result is withdrawn.
  void LeaveOut(const Run& run, const Job& job, const JobEnd& end);
  void HandleWithdrawn(const JobKey& key, const JobEnd& end, const Status& status);
  void EndJob(const Run& run, const Job& job, JobState state, Failure failure = {});
  /// Ends the first job that has not begun, and with it the run. Where there is none, what is wrong is found again when
  /// the run ends.
  void FailBeforeNextJob(const Run& run, const Status& why);
  void WritePhaseTable(const Run& run);
  void HandleTableNotWritten(const std::string& run_id, const Status& status);
  void Finish(const Run& run);
  void HandleFinished(const std::string& run_id, const Status& report);
  void NoteDisk(const Run& run, const Status& status);

  Parts parts_;
  std::set<std::string> preparing_;
  std::set<std::string> prepared_;
  std::map<std::string, MonotonicTime> prepare_again_;
  std::set<JobKey> planning_;
  LabelIndexDesk indexes_;
  std::map<std::string, std::uint64_t> table_revisions_;
  std::map<std::string, std::string> tables_;
  std::set<std::string> finishing_;
  std::set<JobKey> withdrawing_;
  Status disk_failure_;
};

}  // namespace ferment::coordinator
