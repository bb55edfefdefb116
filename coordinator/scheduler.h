// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's one thread of decisions: requests queue here, are decided against the book, saved together, and
// only then answered.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
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
#include "coordinator/run_engine.h"

namespace ferment::coordinator {

struct SchedulerConfig {
  /// Requests that may wait; past it they are refused. Rises with the labelers that one coordinator shall bear.
  std::size_t queue_limit = 4096;
  /// Operations saved in one commit. A batch is what came in while the last one was being saved, so that a lone request
  /// waits for nobody.
  std::size_t batch_limit = 64;
  /// How often leases are looked at and trainers asked after.
  std::chrono::milliseconds tick{100};
  /// How long a request waits for its answer.
  std::chrono::milliseconds answer_limit{30'000};
  CoolDownRule cool_down = {};
};

/// What to do is decided by LeaseDesk, TrainerDesk and RunDesk; this class orders it: queue, decide, append, answer. It
/// waits for the disk while holding nobody's lock, and everyone who asked waits with it: that is the promise.
///
/// Every method may fail with Unavailable (draining, stopped, or the store failed) and ResourceExhausted (too much
/// waits). Thread: any, but Start and Stop.
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
  /// Ends the thread; what waits is refused. A second call does nothing.
  void Stop();

  Result<std::string> Submit(Submission submission);
  Status Cancel(const std::string& run_id, const std::string& request_id);
  Status Update(const RunUpdate& update);
  Result<std::string> RollBackTeacher(const std::string& run_id, const std::string& request_id,
                                      const std::string& reason);
  Result<RunView> View(const std::string& run_id);
  /// Returns: runs, newest first, from the `offset`-th on.
  Result<std::vector<RunView>> List(std::size_t offset, std::size_t limit);

  Result<Registration> Register(const LabelerIdentity& identity);
  Result<LeaseAnswer> Lease(const LeaseRequest& request);
  Result<std::chrono::milliseconds> Renew(const LeaseKey& key, std::uint64_t records_done);
  /// Returns: the labeler that holds this lease; empty where it is lost.
  Result<std::string> HolderOf(const LeaseKey& key);
  struct CommitAnswer {
    bool duplicate = false;
    LeaseAnswer next;
  };
  /// As LeaseDesk::Commit, after a look at the files, and then as Lease for `next`, in one operation. What Lease would
  /// refuse comes as an empty answer. Errors: DataLoss where a file is missing or empty.
  Result<CommitAnswer> Commit(const ShardResult& result, const std::optional<LeaseRequest>& next = std::nullopt);
  Status Return(const LeaseKey& key);
  Status FailShard(const ShardFailure& failure);

  Result<std::uint64_t> TakeToken(const TokenRequest& request);
  Result<bool> Report(const TokenKey& key, TrainerProgress progress);
  Status Complete(const TokenKey& key, const TrainerResult& result);
  Status FailJob(const TokenKey& key, const Failure& failure);

 private:
  /// Queues `decide` and waits until what it recorded is saved.
  template <typename Answer>
  Answer Call(std::function<Answer()> decide, bool while_draining = true);
  Status Enqueue(Operation operation, bool while_draining);
  Status CheckFiles(const ShardResult& result);
  /// Errors: Aborted where there is no such run.
  Result<std::string> RunDirOf(const std::string& run_id);
  void Loop(std::stop_token stop);
  std::vector<Operation> TakeBatch(const std::stop_token& stop);
  void Refuse(const Status& why);

  // constant after construction
  const Parts parts_;
  const SchedulerConfig config_;

  // synchronizes itself
  CondVar queued_;

  // under mutex_
  Mutex mutex_;
  std::deque<Operation> queue_ FERMENT_GUARDED_BY(mutex_);
  bool draining_ FERMENT_GUARDED_BY(mutex_) = false;
  Status stopped_ FERMENT_GUARDED_BY(mutex_);
  /// A run's folder never changes, so that it need not be asked for twice.
  std::map<std::string, std::string, std::less<>> run_dirs_ FERMENT_GUARDED_BY(mutex_);

  // of the scheduler's thread once Start has returned; the runners end before the engine that they come back to
  std::unique_ptr<RunEngine> engine_;
  std::unique_ptr<ThreadTaskRunner> launches_;
  std::unique_ptr<ThreadTaskRunner> files_;
  std::jthread thread_;
};

}  // namespace ferment::coordinator
