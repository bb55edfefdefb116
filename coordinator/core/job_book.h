// SPDX-License-Identifier: Apache-2.0
//
// All that the coordinator durably knows: the sum of the events of its log, and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "coordinator/core/job_event.h"
#include "coordinator/core/run_state.h"

namespace ferment::coordinator {

/// A value that changes only by Apply; it has no clock, I/O, lock or randomness, so replaying the same events gives an
/// equal book. Whoever decides what happens (Scheduler and its desks) asks here first and makes an event of the answer;
/// Apply then holds it to be true and stops the process where an event cannot follow from the state.
class JobBook {
 public:
  void Apply(const Event& event);
  /// Gives `take` the few events that make an equal book of an empty one, in order; stops at its first failure and
  /// returns it.
  Status Snapshot(const std::function<Status(const Event&)>& take) const;
  /// Returns: shards of all jobs.
  std::uint64_t CountShards() const;

  /// In order of submission; without those that were forgotten.
  const std::vector<std::string>& run_order() const { return run_order_; }
  /// Returns: how many runs there ever were.
  std::uint64_t CountSubmitted() const { return forgotten_ + run_order_.size(); }
  /// Those that have not ended, in order of submission: what there is to do takes no longer for all that were before.
  const std::vector<std::string>& unfinished() const { return unfinished_; }
  const Run* FindRun(std::string_view run_id) const;
  /// Returns: the latest run in this folder, or nullptr.
  const Run* FindRunIn(std::string_view run_dir) const;
  /// Returns: the run that a submission of this request id made or reopened, or nullptr.
  const Run* FindSubmission(std::string_view request_id) const;
  /// Returns: the run that a cancel or an update of this request id was taken for, whatever it found there, or nullptr.
  const std::string* RunOfChange(std::string_view request_id) const;
  const Job* FindJob(std::string_view run_id, std::string_view job_id) const;
  const Labeler* FindLabeler(std::string_view labeler_id) const;
  /// Returns: the labeler of this name, or nullptr.
  const Labeler* FindLabelerByName(std::string_view name) const;
  const std::map<std::string, Labeler, std::less<>>& labelers() const { return labelers_; }
  /// Returns: every lease of running jobs that this labeler holds.
  std::vector<LeaseKey> LeasesOf(std::string_view labeler_id) const;
  /// Returns: every granted lease of running jobs.
  std::vector<LeaseKey> AllLeases() const;

  friend bool operator==(const JobBook&, const JobBook&) = default;

 private:
  Run& RunOf(std::string_view run_id);
  /// Puts a run that was reopened where its submission has it.
  void Resume(const std::string& run_id);
  Job& JobOf(std::string_view run_id, std::string_view job_id);
  /// As JobOf, for an event that changes a shard and the job's sums alone.
  Job& JobInProgress(std::string_view run_id, std::string_view job_id);
  Shard& LeasedShard(const LeaseKey& key);
  /// A lease of this labeler came to nothing. `lost`: nobody said so.
  void CountFailure(const std::string& labeler_id, bool lost);
  void CountDeath(Job& job, const Shard& shard, const ShardReleased& event);
  void ForgetDeathsOf(const std::string& labeler_id);

  void On(const RunSubmitted& event);
  void On(const RunReopened& event);
  void On(const RunCancelRequested& event);
  void On(const RunUpdated& event);
  void On(const RunEnded& event);
  void On(const RunForgotten& event);
  void On(const AttemptIntended& event);
  void On(const AttemptLaunched& event);
  void On(const TokenTaken& event);
  void On(const JobCompleted& event);
  void On(const JobFailureReported& event);
  void On(const AttemptExited& event);
  void On(const ShardsPlanned& event);
  void On(const JobEnded& event);
  void On(const LabelerRegistered& event);
  void On(const LabelerForgotten& event);
  void On(const LabelerReturned& event);
  void On(const ShardLeased& event);
  void On(const ShardReleased& event);
  void On(const ShardCommitted& event);
  void On(const ShardFailed& event);
  void On(const ShardCondemned& event);
  void On(const TeacherTripped& event);
  void On(const RunRestored& event);
  void On(const ShardsRestored& event);
  void On(const LabelerRestored& event);
  void On(const RequestsRestored& event);
  void On(const ForgottenRestored& event);

  std::map<std::string, Run, std::less<>> runs_;
  std::vector<std::string> run_order_;
  std::vector<std::string> unfinished_;
  std::uint64_t forgotten_ = 0;
  /// Request id -> run id.
  std::map<std::string, std::string, std::less<>> submissions_;
  std::map<std::string, std::string, std::less<>> changes_;
  std::map<std::string, Labeler, std::less<>> labelers_;
  std::map<std::string, std::string, std::less<>> labeler_by_name_;
};

}  // namespace ferment::coordinator
