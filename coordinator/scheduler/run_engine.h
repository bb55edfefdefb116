// SPDX-License-Identifier: Apache-2.0
//
// The coordinator without its thread: book, log, desks, and the order in which they act.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "coordinator/desks/labeler_desk.h"
#include "coordinator/desks/lease_desk.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/desks/run_desk.h"
#include "coordinator/desks/run_files.h"
#include "coordinator/desks/steering_desk.h"
#include "coordinator/desks/task_runner.h"
#include "coordinator/desks/trainer_desk.h"
#include "coordinator/launch/launcher.h"
#include "coordinator/metrics/scheduler_metrics.h"
#include "coordinator/scheduler/operation.h"
#include "coordinator/scheduler/run_retention.h"
#include "coordinator/scheduler/run_view.h"
#include "coordinator/store/event_store.h"

namespace ferment::coordinator {

/// One round is: ask the desks (they decide and record), then Settle, then, only if that went well, answer.
///
/// Thread: one. References outlive it.
class RunEngine {
 public:
  struct Parts {
    EventStore& store;
    Launcher& launcher;
    RunFiles& run_files;
    const Clock& clock;
    SchedulerMetrics& metrics;
    /// Where the launcher is called: a platform that does not answer holds up its own jobs only.
    std::function<TaskRunner&(LauncherKind)> launches;
    /// Where run_files is called.
    TaskRunner& files;
    LaunchPlanner plan_launch;
    /// Brings the outcome of a task back to this thread, to be followed by Settle.
    std::function<void(std::function<void()>)> come_back;
    CoolDownRule cool_down = {};
    RetentionRule retention = {};
    /// How long a labeler without a lease may be silent before nothing is kept of it.
    std::chrono::milliseconds forget_labelers_after = std::chrono::hours(1);
    /// Events of the log before a snapshot takes their place; more where there are more shards than these.
    std::uint64_t compact_after = 20'000;
  };
  explicit RunEngine(Parts parts);
  RunEngine(const RunEngine&) = delete;
  RunEngine& operator=(const RunEngine&) = delete;

  /// Replays the log and gives every granted lease a full lease time. Call once, first. Errors: those of EventStore.
  Status Restore();
  /// Forgets runs, then one round over these requests, and then, where the log has grown long, its snapshot; with
  /// `poll`, the launcher is asked how the trainers are, as a few times a second. Errors: those of Settle, of which
  /// each caller was told as Unavailable; RunDesk::disk_failure, which befell one run's folder and is in the log. The
  /// process must end.
  Status Round(std::span<const Operation> batch, bool poll);
  /// Expires leases, drives the runs, appends what was recorded in one batch, or confirms that this coordinator still
  /// leads, then lets the effects happen. Errors: those of EventStore::Append; then nothing of this round may be
  /// answered, and the engine is done for.
  Status Settle();
  /// Asks the launcher how the trainers are.
  void Poll() { trainers_.PollAll(); }

  LabelerDesk& labelers() { return labelers_; }
  LeaseDesk& leases() { return leases_; }
  TrainerDesk& trainers() { return trainers_; }
  SteeringDesk& steering() { return steering_; }
  RunDesk& runs() { return runs_; }
  const JobBook& book() const { return ledger_.book(); }
  /// Errors: NotFound.
  Result<RunView> View(std::string_view run_id);
  /// Returns: runs, newest first, of those that were submitted before the `before`-th ever (RunNumberOf), which may be
  /// forgotten by now; 0: of all. Fewer than `limit` where they are large. Errors: InvalidArgument (there were not as
  /// many).
  Result<RunPage> Page(std::uint64_t before, std::size_t limit);

 private:
  /// Of runs that ended too long ago nothing is kept.
  void ForgetRuns();
  /// Figures of the last runs that ended stay for whoever looks at them; of those before only the book knows.
  void NoteEnds(std::span<const Event> saved);
  void ForgetFigures(const Run& run);
  /// The classes of runs that begin, or go on, are counted from 0.
  void ShowClasses(std::span<const Event> saved);
  void ShowClasses(std::string_view run_id);
  /// Keeps the log as long as the state that it stands for, about: reading it back must take seconds after weeks too.
  Status CompactIfLong();

  Parts parts_;
  /// Events of the log behind its snapshot, and how many make it long.
  std::uint64_t log_events_ = 0;
  std::uint64_t compact_at_;
  Ledger ledger_;
  LabelerDesk labelers_;
  LeaseDesk leases_;
  TrainerDesk trainers_;
  TeacherDesk teachers_;
  SteeringDesk steering_;
  RunDesk runs_;
  RunRetention retention_;
};

}  // namespace ferment::coordinator
