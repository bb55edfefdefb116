// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's one thread of decisions: requests queue here, are decided against the book, saved together, and
// only then answered.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "coordinator/scheduler/reply.h"
#include "coordinator/scheduler/request_queue.h"
#include "coordinator/scheduler/run_engine.h"
#include "coordinator/scheduler/task_lanes.h"

namespace ferment::coordinator {

struct SchedulerConfig {
  /// Requests that may wait; past it they are refused, as RequestQueue has it. Rises with the labelers to be borne.
  std::size_t queue_limit = 4096;
  /// Operations saved in one commit. A batch is what came in while the last one was being saved, so that a lone request
  /// waits for nobody.
  std::size_t batch_limit = 64;
  /// Leases are looked at and trainers asked after so often.
  std::chrono::milliseconds tick{100};
  /// Runs whose result files are looked at side by side; each may be on storage that does not answer.
  int looks = 16;
  CoolDownRule cool_down = {};
  RetentionRule retention = {};
};

/// What to do is decided by LeaseDesk, TrainerDesk and RunDesk; this class orders it: queue, decide, append, answer. It
/// waits for the disk while holding nobody's lock, and nobody who asked is told before: that is the promise.
///
/// Nobody waits in a call: the answer goes to `then`, once, on another thread or before the call returns. Each may be
/// Unavailable (draining, stopped, or the store failed), ResourceExhausted (too much waits) and, where `then` had given
/// up, Cancelled (nothing was done). Thread: any, but Start and Stop.
class Scheduler {
 public:
  struct Parts {
    std::unique_ptr<EventStore> store;
    Launcher& launcher;
    RunFiles& run_files;
    const Clock& clock;
    SchedulerMetrics& metrics;
    LaunchPlanner plan_launch;
    /// Called once, on the scheduler's thread, when the store fails; the process must end then.
    std::function<void(const Status&)> on_store_failed;
  };
  Scheduler(Parts parts, SchedulerConfig config);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Replays the log and begins. Errors: those of EventStore::Replay.
  Status Start();
  /// Refuses new work, asks every trainer to save a checkpoint and leave, and waits for them up to `patience`.
  void Drain(std::chrono::milliseconds patience);
  /// Ends the threads; what waits is refused. A second call does nothing.
  void Stop();

  void Submit(Submission submission, Then<Result<std::string>> then);
  void Cancel(const std::string& run_id, const std::string& request_id, Then<Status> then);
  void Update(const RunUpdate& update, Then<Status> then);
  void RollBackTeacher(const std::string& run_id, const std::string& request_id, const std::string& reason,
                       Then<Result<std::string>> then);
  void View(const std::string& run_id, Then<Result<RunView>> then);
  /// As RunEngine::Page.
  void List(std::uint64_t before, std::size_t limit, Then<Result<RunPage>> then);
  void Register(const LabelerIdentity& identity, Then<Result<Registration>> then);
  void Lease(const LeaseRequest& request, Then<Result<LeaseAnswer>> then);
  /// Of these four, where `lease.caller` is named: PermissionDenied where another labeler holds the lease.
  struct CalledLease {
    LeaseKey key;
    std::string caller;
  };
  void Renew(const CalledLease& lease, std::uint64_t records_done, Then<Result<std::chrono::milliseconds>> then);
  struct CommitAnswer {
    bool duplicate = false;
    LeaseAnswer next;
  };
  /// As LeaseDesk::Commit, after a look at the files, and then as Lease for `next`, in one operation. What Lease would
  /// refuse comes as an empty answer. Errors: DataLoss where a file is missing or empty.
  void Commit(const std::string& caller, ShardResult result, std::optional<LeaseRequest> next,
              Then<Result<CommitAnswer>> then);
  void Return(const CalledLease& lease, Then<Status> then);
  void FailShard(const std::string& caller, const ShardFailure& failure, Then<Status> then);

  void TakeToken(const TokenRequest& request, Then<Result<std::uint64_t>> then);
  void Report(const TokenKey& key, TrainerProgress progress, Then<Result<bool>> then);
  void Complete(const TokenKey& key, const TrainerResult& result, Then<Status> then);
  void FailJob(const TokenKey& key, const Failure& failure, Then<Status> then);

 private:
  /// Queues `decide`; the reply is sent once what it recorded is saved.
  template <typename Answer>
  void Ask(RequestKind kind, std::shared_ptr<Reply<Answer>> reply, std::function<Answer()> decide);
  template <typename Answer>
  void Ask(RequestKind kind, Then<Answer> then, std::function<Answer()> decide);
  /// Asks, and waits for the answer.
  template <typename Answer>
  Answer Wait(const std::function<Answer()>& decide);
  Status Enqueue(RequestKind kind, Operation operation);
  Status Crowded(RequestKind kind, std::size_t waiting);
  Status MayTouch(const LeaseKey& key, const std::string& caller) const;
  Status CheckFiles(const ShardResult& result);
  /// Waits. Errors: Aborted (no such run).
  Result<std::string> RunDirOf(const std::string& run_id);
  void Loop(std::stop_token stop);
  std::vector<Operation> TakeBatch(const std::stop_token& stop);
  void Refuse(const Status& why);

  // constant after construction
  const Parts parts_;
  const SchedulerConfig config_;

  // synchronize themselves
  CondVar queued_;
  std::atomic<std::size_t> looking_{0};

  // under mutex_
  Mutex mutex_;
  RequestQueue queue_ FERMENT_GUARDED_BY(mutex_);
  bool idle_ FERMENT_GUARDED_BY(mutex_) = false;
  bool draining_ FERMENT_GUARDED_BY(mutex_) = false;
  Status stopped_ FERMENT_GUARDED_BY(mutex_);
  /// A run's folder never changes, so that it need not be asked for with each commit.
  static constexpr std::size_t kRunDirsKept = 1'000;
  std::map<std::string, std::string, std::less<>> run_dirs_ FERMENT_GUARDED_BY(mutex_);

  // of the scheduler's thread once Start has returned; the runners end before the engine that they come back to
  std::unique_ptr<RunEngine> engine_;
  std::unique_ptr<ThreadTaskRunner> local_launches_;
  std::unique_ptr<ThreadTaskRunner> slurm_launches_;
  std::unique_ptr<ThreadTaskRunner> files_;
  /// A lane a run. It lives as long as the scheduler: a call that comes after Stop is refused by its look.
  TaskLanes looks_;
  std::jthread thread_;
};

}  // namespace ferment::coordinator
