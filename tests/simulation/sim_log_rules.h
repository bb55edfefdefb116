// SPDX-License-Identifier: Apache-2.0
//
// What every log must obey, whoever wrote it: written from the promises, without the coordinator's own state.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "coordinator/core/job_event.h"
#include "tests/simulation/sim_history.h"

namespace ferment::simulation {

struct ShardFacts {
  std::uint64_t planned_records = 0;
  /// The latest lease's.
  std::uint64_t epoch = 0;
  std::string labeler;
  bool leased = false;
  /// Its job ended, or its teacher was stopped, while it was leased; or another process took its labeler's name.
  bool cut_short = false;
  bool committed = false;
  std::uint32_t failures = 0;
  std::uint64_t commit_epoch = 0;
  std::vector<coordinator::ResultFile> files;
  coordinator::RecordCounts counts;
  coordinator::CanaryCounts canaries;
};

struct JobFacts {
  bool label = false;
  std::uint32_t round = 0;
  bool shard_job = false;
  bool started = false;
  coordinator::JobState state = coordinator::JobState::kPending;
  /// Absolute; of a label job.
  std::string index_folder;
  /// Digests: of the teacher that labels; of the one that a trainer published.
  std::string labelled_by, published;
  std::vector<ShardFacts> shards;
  bool shard_failed = false;
  /// Its teacher was stopped; then: committed shards before the batch in which it was.
  bool tripped = false;
  std::uint64_t indexable = 0;

  std::uint32_t attempt = 0;
  bool exited = true;
  /// And not started again since.
  bool reopened = false;
  bool completed = false;
  std::uint64_t token = 0;
  bool token_of_attempt = false;
  /// Since the run was submitted or reopened: ends that were neither well nor asked for.
  std::uint32_t failed_attempts = 0;
  bool reported_for_good = false;
  bool failed_for_good = false;
};

struct RunFacts {
  std::string run_dir;
  bool running = true;
  /// By an event of this log; until the run is reopened.
  bool cancelled = false;
  std::string cancel_request;
  bool suspended = false;
  /// When it was cancelled, nothing was left to do but the report.
  bool cancelled_too_late = false;
  bool forgotten = false;
  std::uint32_t generation = 0;
  std::map<std::string, JobFacts> jobs;
};

class SimLogRules {
 public:
  /// `keep_runs`: of those that have ended, no fewer may be remembered.
  SimLogRules(SimHistory& history, std::size_t keep_runs) : history_(history), keep_runs_(keep_runs) {}

  /// `latest_term`: of the store when these events were written.
  void Take(std::uint64_t term, std::uint64_t latest_term, std::span<const coordinator::Event> events);
  /// A person was told that nobody answered, and gives the same command again.
  void AskedAnew(const std::string& request_id);
  /// A folder operation was made to fail; runs may end because of it.
  void AllowFolderFailures() { folders_fail_ = true; }

  /// Returns: nullptr where the log has none.
  const RunFacts* FindRun(const std::string& run_id) const;
  const JobFacts* FindJob(const std::string& run_id, const std::string& job_id) const;
  const ShardFacts* FindShard(const coordinator::LeaseKey& key) const;
  const std::map<std::string, RunFacts>& runs() const { return runs_; }
  /// Returns: most shards that the index in this folder may name, where its teacher was stopped; else no limit.
  std::uint64_t MostIndexed(const std::string& folder) const;
  std::uint32_t TimesForgotten(const std::string& labeler_id) const;
  /// Returns: the token under which this attempt's result was taken, also before the run was reopened; 0: none was.
  std::uint64_t CompletedUnder(const std::string& run_id, const std::string& job_id, std::uint32_t attempt) const;
  /// Returns: whether a run in this folder was forgotten: the next one there begins anew.
  bool AnyForgottenIn(const std::string& run_dir) const;
  /// Returns: the run that this request submitted or reopened, or "".
  std::string RunOfRequest(const std::string& request_id) const;
  /// Returns: how often the run had been reopened when this cancel was logged, or `otherwise` where it never was.
  std::uint32_t GenerationOfCancel(const std::string& request_id, std::uint32_t otherwise) const;

 private:
  void On(const coordinator::RunSubmitted& event);
  void On(const coordinator::RunReopened& event);
  void On(const coordinator::RunCancelRequested& event);
  void On(const coordinator::RunUpdated& event);
  void On(const coordinator::RunEnded& event);
  void On(const coordinator::RunForgotten& event);
  void On(const coordinator::AttemptIntended& event);
  void On(const coordinator::AttemptLaunched& event);
  void On(const coordinator::TokenTaken& event);
  void On(const coordinator::JobCompleted& event);
  void On(const coordinator::JobFailureReported& event);
  void On(const coordinator::AttemptExited& event);
  void On(const coordinator::ShardsPlanned& event);
  void On(const coordinator::JobEnded& event);
  void On(const coordinator::LabelerRegistered& event);
  void On(const coordinator::LabelerForgotten& event);
  void On(const coordinator::LabelerReturned& event);
  void On(const coordinator::ShardLeased& event);
  void On(const coordinator::ShardReleased& event);
  void On(const coordinator::ShardCommitted& event);
  void On(const coordinator::ShardFailed& event);
  void On(const coordinator::ShardCondemned& event);
  void On(const coordinator::TeacherTripped& event);

  JobFacts& JobOf(const std::string& run_id, const std::string& job_id) { return runs_[run_id].jobs[job_id]; }
  /// Returns: the shard of this lease; says so where the lease is not the shard's present one.
  ShardFacts& Held(const coordinator::LeaseKey& key, const std::string& what);
  template <typename One>
  bool IsOfForgotten(const One& event) const;
  /// Nor while it is suspended.
  void NothingAfterCancel(const std::string& run_id, const std::string& what);
  void OnceOnly(const std::string& request_id, const std::string& run_id, const std::string& what);
  void CheckSuccess(const std::string& run_id, const std::string& job_id, const JobFacts& job);

  SimHistory& history_;
  const std::size_t keep_runs_;
  std::uint64_t term_ = 0;
  bool folders_fail_ = false;
  std::map<std::string, RunFacts> runs_;
  /// Never forgotten, whatever is planned anew.
  std::map<std::pair<std::string, std::string>, std::map<std::uint64_t, std::uint64_t>> epochs_;
  /// By name: the incarnation that has it, or had it before it was forgotten.
  std::map<std::string, std::string> labelers_;
  std::map<std::string, std::uint32_t> times_forgotten_;
  std::map<std::tuple<std::string, std::string, std::uint32_t>, std::uint64_t> completed_;
  /// Labelers whose place another took.
  std::set<std::string> replaced_;
  std::map<std::string, std::string> requests_;
  /// Commands that were given again since they are in `requests_`.
  std::set<std::string> asked_anew_;
  std::map<std::string, std::uint32_t> cancel_generations_;
};

}  // namespace ferment::simulation
