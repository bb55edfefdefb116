// SPDX-License-Identifier: Apache-2.0
//
// Starts, watches and stops trainer jobs, and answers their rank 0.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/desks/task_runner.h"
#include "coordinator/launch/launcher.h"
#include "coordinator/metrics/rate_meter.h"
#include "coordinator/metrics/trainer_metrics.h"

namespace ferment::coordinator {

struct TokenRequest {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  std::string incarnation;
  std::string host;
  std::int64_t pid = 0;
  std::string run_dir;
};

struct TrainerProgress {
  std::uint64_t step = 0;
  std::uint64_t total_steps = 0;
  Usage usage;
  std::map<std::string, double> metrics;
  TrainerDistributions distributions = {};
  /// By rank; empty where nobody watches the ranks.
  std::vector<double> rank_idle_seconds = {};
};

struct TrainerResult {
  Usage usage;
  std::vector<ModelFile> models;
  std::map<std::string, double> metrics;
  TrainerDistributions distributions = {};
};

/// Names a job and the token under which its rank 0 speaks.
struct TokenKey {
  std::string run_id;
  std::string job_id;
  std::uint64_t token = 0;
};

/// Turns an attempt into what the launcher starts.
using LaunchPlanner = std::function<LaunchRequest(const RunSpec& spec, const Run& run, const Job& job)>;

/// Thread: the scheduler's. The launcher is called on `launches` of the job's kind; answers come back by `come_back`.
class TrainerDesk {
 public:
  struct Parts {
    Ledger& ledger;
    const Clock& clock;
    Launcher& launcher;
    std::function<TaskRunner&(LauncherKind)> launches;
    /// Queues work for the scheduler's thread.
    std::function<void(std::function<void()>)> come_back;
    LaunchPlanner plan_launch;
    TrainerMetrics& metrics;
  };
  explicit TrainerDesk(Parts parts) : parts_(std::move(parts)) {}
  /// Logs the intent of the next attempt; the launch follows once that is saved.
  void Start(const Run& run, const Job& job);
  /// Asks for the state of every live attempt. After a restart this is what adopts running trainers, and what launches
  /// those whose intent was saved and whose launch was not.
  void PollAll();
  /// Asks the attempt to save a checkpoint and leave; kills it once its time is over.
  void Stop(const Run& run, const Job& job);
  /// Stops every attempt. Nothing starts afterwards.
  void Drain();
  /// Nothing is kept of the run but what the book has. It has ended.
  void Forget(const Run& run);
  bool draining() const { return draining_; }
  /// Returns: whether any attempt is not known to have ended.
  bool AnyLive() const;

  /// Errors: Aborted where the attempt is over, another incarnation holds its token, or the run has another folder.
  Result<std::uint64_t> TakeToken(const TokenRequest& request);
  /// Returns: whether the trainer should save a checkpoint and leave. Errors: Aborted (not the job's token).
  Result<bool> Report(const TokenKey& key, TrainerProgress progress);
  /// Errors: Aborted (not the job's token).
  Status Complete(const TokenKey& key, const TrainerResult& result);
  /// Errors: Aborted (not the job's token).
  Status FailJob(const TokenKey& key, const Failure& failure);

  /// Returns: the last report of the job's present attempt, or nullptr.
  const TrainerProgress* ProgressOf(const std::string& run_id, const std::string& job_id) const;
  double SampleRate(const std::string& run_id, const std::string& job_id) const;
  /// Returns: what a person should know where a job waits for its platform, or to be sure of its former trainer's end;
  /// else "".
  std::string WaitOf(const std::string& run_id, const std::string& job_id) const;
  std::uint64_t changes() const { return changes_; }

 private:
  using JobKey = std::pair<std::string, std::string>;
  struct Stopping {
    MonotonicTime kill_at;
    bool killed = false;
  };
  struct Live {
    TrainerProgress progress;
    RateMeter samples;
    /// When the holder of the token last spoke.
    MonotonicTime heard;
    /// The launcher does not know of the holder.
    bool unseen = false;
  };

  LaunchKey KeyOf(const Run& run, const Job& job);
  void Launch(const Run& run, const Job& job);
  void HandleLaunched(const LaunchKey& key, const Status& status);
  void HandlePolled(const LaunchKey& key, const LaunchState& state);
  /// Returns: whether the holder of the attempt's token spoke lately, or has not had the time to since we started. It
  /// may be another process than the start that the launcher watches, and is the attempt then. Notes the wait for it.
  bool HolderMayLive(const LaunchKey& key, const Job& job);
  void RecordExit(const LaunchKey& key, const LaunchState& end);
  void ShowRanks(const std::string& job, const TrainerProgress& progress);
  void Signal(const Run& run, const Job& job, int signal);
  /// Returns: the job, whose present attempt holds this token.
  Result<const Job*> HolderOf(const TokenKey& key) const;
  /// Returns: the job if `key` is its present attempt and has not ended, else nullptr.
  const Job* LiveJob(const LaunchKey& key) const;
  /// Calls visit(run, job) for every attempt that is not known to have ended.
  void ForEachLive(const std::function<void(const Run&, const Job&)>& visit) const;

  Parts parts_;
  bool draining_ = false;
  std::set<JobKey> launching_;
  std::set<JobKey> polling_;
  std::map<JobKey, Stopping> stopping_;
  std::map<JobKey, Live> live_;
  /// What live starts wait for, as their platform says.
  std::map<JobKey, std::string> waits_;
  std::uint64_t changes_ = 0;
};

}  // namespace ferment::coordinator
