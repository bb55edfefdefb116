// SPDX-License-Identifier: Apache-2.0
//
// What is known of each run, job, shard and labeler at one moment: plain values, of which JobBook holds all.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/job.h"
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

/// Returns: the name that a process registered under. Its id is name/incarnation.
inline std::string_view NameOf(std::string_view labeler_id) { return labeler_id.substr(0, labeler_id.rfind('/')); }

/// Who failed a shard in a way that might pass, and the machine that it ran on; empty where it named none.
struct FailedBy {
  std::string labeler;
  std::string host;
  friend bool operator==(const FailedBy&, const FailedBy&) = default;
};

/// A process that died, or fell silent for good as far as is known, with a shard.
struct Death {
  std::string labeler_id;
  /// Empty where it named none.
  std::string host;
  /// It held nothing else.
  bool alone = false;
  /// As far as its last renewal told.
  std::uint64_t records_done = 0;
  friend bool operator==(const Death&, const Death&) = default;
};

/// A job but for its shards, which may be a million.
struct JobSummary {
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
  /// Where results of shards lie, for PackedFiles.
  std::vector<std::string> result_folders;
  RecordCounts records;
  CanaryCounts canaries;
  /// Why the teacher of this label job is stopped, for a person; empty: it is not.
  std::string tripped;
  /// The request that stopped it, where an operator did.
  std::string tripped_by;
  /// By shard: of those that failed and are not done.
  std::map<std::uint64_t, std::vector<FailedBy>> failed_by;
  /// By shard: of those that labelers died with and that are not done, in a row: since one last came
  /// further, or gave the shard up and so came out of it alive.
  std::map<std::uint64_t, std::vector<Death>> deaths;
  /// Leased shards whose labelers hold nothing else.
  std::set<std::uint64_t> alone;

  /// Returns: the published model of this role, or nullptr.
  const ModelFile* FindModel(std::string_view role) const;
  friend bool operator==(const JobSummary&, const JobSummary&) = default;
};

struct Job : JobSummary {
  std::vector<Shard> shards;
  /// One letter a shard in order: p, l, c or f; the first 20,000. Kept, since whoever looks at a run is shown them.
  std::string letters;
  /// Those that may be leased: suspects (IsSuspect) apart, so that nobody has to look past them.
  std::set<std::uint64_t> pending;
  std::set<std::uint64_t> suspects;
  std::set<std::uint64_t> leased;
  std::uint64_t committed = 0;
  std::uint64_t failed = 0;

  /// Returns: what was committed for this shard of the job.
  std::vector<ResultFile> FilesOf(const Shard& shard) const { return shard.files.Unpack(result_folders); }
  std::uint64_t CountPending() const { return pending.size() + suspects.size(); }
  /// Takes the shard as the job's next, and counts it.
  void Append(Shard shard);
  /// The one way to change a shard's state once it is the job's.
  void SetState(std::uint64_t shard, ShardState to);
  /// Puts a shard that is nobody's among those that may be leased.
  void Offer(std::uint64_t shard);
  friend bool operator==(const Job&, const Job&) = default;
};

struct RunSummary {
  std::string run_id;
  std::string name;
  std::string run_dir;
  /// Serialized ferment.v1.RunSpec.
  std::string spec;
  RunState state = RunState::kRunning;
  bool cancel_requested = false;
  bool suspended = false;
  /// Labelers work on the run of the highest first; 0 where nobody said anything.
  std::int32_t priority = 0;
  Failure failure;
  std::int64_t submitted_wall_ms = 0;
  std::int64_t ended_wall_ms = 0;
  /// Grows with each event about this run.
  std::uint64_t revision = 0;
  /// Number of those that are about more than one shard's progress.
  std::uint64_t phase_revision = 0;
  friend bool operator==(const RunSummary&, const RunSummary&) = default;
};

struct Run : RunSummary {
  /// In the order in which they run.
  std::vector<Job> jobs;

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
  /// The machine that it runs on, as it says; empty: it does not.
  std::string host = {};
  /// In a row, since its name last committed a shard: shards that it failed in a way that might pass, and times that
  /// it lost what it had leased. Its name's next process on the same host inherits them.
  std::uint32_t failures = 0;
  /// Whether anything was leased to it since the last of those: what is lost at one time counts once.
  bool leased_since_failure = false;
  /// A lease of it ran out, and it has not called since.
  bool silent = false;
  /// Its name committed the last shard that it ended, those aside that it held alone. Its name's next process on the
  /// same host inherits it.
  bool trusted = false;
  friend bool operator==(const Labeler&, const Labeler&) = default;
};

}  // namespace ferment::coordinator
