// SPDX-License-Identifier: Apache-2.0
//
// All that the coordinator durably knows: the sum of the events of its log, and nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/job.h"
#include "coordinator/core/job_event.h"
#include "coordinator/core/packed_files.h"

namespace ferment::coordinator {

struct Shard {
  PlannedShard plan;
  ShardState state = ShardState::kPending;
  std::uint64_t epoch = 0;
  /// Who holds it, or held it last.
  std::string labeler_id;
  std::uint32_t failures = 0;
  /// The last request that ended a lease of it without a result; the same request again gets the same answer.
  std::string last_request_id;
  /// Of a committed one.
  PackedFiles files;
  /// Without the classes, which the job has in sum.
  RecordCounts counts;
  friend bool operator==(const Shard&, const Shard&) = default;
};

/// The latest start of a trainer job.
struct Attempt {
  std::uint32_t number = 0;
  bool launched = false;
  /// 0 until rank 0 took one.
  std::uint64_t token = 0;
  std::string incarnation;
  bool completed = false;
  std::optional<Failure> reported;
  std::optional<int> exit_code;
  bool stopped = false;
  friend bool operator==(const Attempt&, const Attempt&) = default;
};

struct Job {
  PlannedJob plan;
  JobState state = JobState::kPending;
  Attempt attempt;
  /// Attempts that ended by themselves and not well, since the run was submitted or reopened.
  std::uint32_t failed_attempts = 0;
  std::uint64_t last_token = 0;
  Usage usage;
  std::vector<ModelFile> models;
  std::map<std::string, double> metrics;
  Failure failure;
  std::int64_t started_wall_ms = 0;
  std::int64_t ended_wall_ms = 0;

  ShardWork work;
  std::vector<Shard> shards;
  /// Where results of shards lie, for PackedFiles.
  std::vector<std::string> result_folders;
  std::set<std::uint64_t> pending;
  std::set<std::uint64_t> leased;
  std::uint64_t committed = 0;
  std::uint64_t failed = 0;
  RecordCounts records;
  std::map<std::string, std::uint64_t> reasons;
  CanaryCounts canaries;
  /// Why the teacher of this label job is stopped, for a person; empty: it is not.
  std::string tripped;

  /// Returns: the published model of this role, or nullptr.
  const ModelFile* FindModel(std::string_view role) const;
  /// Returns: what was committed for this shard of the job.
  std::vector<ResultFile> FilesOf(const Shard& shard) const { return shard.files.Unpack(result_folders); }
  friend bool operator==(const Job&, const Job&) = default;
};

struct Run {
  std::string run_id;
  std::string name;
  std::string run_dir;
  std::string spec;
  RunState state = RunState::kRunning;
  bool cancel_requested = false;
  Failure failure;
  /// In the order in which they run.
  std::vector<Job> jobs;
  std::int64_t submitted_wall_ms = 0;
  std::int64_t ended_wall_ms = 0;
  /// Number of events about this run.
  std::uint64_t revision = 0;
  /// Number of those that are about more than one shard's progress.
  std::uint64_t phase_revision = 0;

  const Job* FindJob(std::string_view job_id) const;
  friend bool operator==(const Run&, const Run&) = default;
};

/// The one process that works under a name; nothing is kept of those that it replaced.
struct Labeler {
  std::string labeler_id;
  std::string name;
  std::string incarnation;
  std::string instruction_set;
  std::uint64_t shards_committed = 0;
  std::uint64_t records = 0;
  /// The last numbered call for leases that got any, and what it got.
  std::uint64_t last_call = 0;
  std::vector<LeaseKey> last_leases = {};
  friend bool operator==(const Labeler&, const Labeler&) = default;
};

/// A value that changes only by Apply; it has no clock, I/O, lock or randomness, so replaying the same events gives an
/// equal book. Whoever decides what happens (Scheduler and its desks) asks here first and makes an event of the answer;
/// Apply then holds it to be true and stops the process where an event cannot follow from the state.
class JobBook {
 public:
  void Apply(const Event& event);

  /// In order of submission.
  const std::vector<std::string>& run_order() const { return run_order_; }
  const Run* FindRun(std::string_view run_id) const;
  /// Returns: the latest run in this folder, or nullptr.
  const Run* FindRunIn(std::string_view run_dir) const;
  /// Returns: the run that a submission of this request id made or reopened, or nullptr.
  const Run* FindSubmission(std::string_view request_id) const;
  /// Returns: whether a cancel of this request id was taken, whatever it found.
  bool KnowsCancel(std::string_view request_id) const { return cancels_.contains(request_id); }
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
  Job& JobOf(std::string_view run_id, std::string_view job_id);
  /// As JobOf, for an event that changes a shard and the job's sums alone.
  Job& JobInProgress(std::string_view run_id, std::string_view job_id);
  Shard& LeasedShard(const LeaseKey& key);

  void On(const RunSubmitted& event);
  void On(const RunReopened& event);
  void On(const RunCancelRequested& event);
  void On(const RunEnded& event);
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
  void On(const ShardLeased& event);
  void On(const ShardReleased& event);
  void On(const ShardCommitted& event);
  void On(const ShardFailed& event);
  void On(const TeacherTripped& event);

  std::map<std::string, Run, std::less<>> runs_;
  std::vector<std::string> run_order_;
  std::map<std::string, std::string, std::less<>> submissions_;
  std::set<std::string, std::less<>> cancels_;
  std::map<std::string, Labeler, std::less<>> labelers_;
  std::map<std::string, std::string, std::less<>> labeler_by_name_;
};

}  // namespace ferment::coordinator
