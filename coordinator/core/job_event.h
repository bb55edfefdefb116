// SPDX-License-Identifier: Apache-2.0
//
// Everything that can change what the coordinator knows, one plain struct a kind; the log is a list of these.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/core/job.h"
#include "coordinator/core/snapshot_event.h"

namespace ferment::coordinator {

struct RunSubmitted {
  std::string run_id;
  std::string request_id;
  std::string name;
  std::string run_dir;
  /// Serialized ferment.v1.RunSpec; opaque here.
  std::string spec;
  std::vector<PlannedJob> jobs;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunSubmitted&, const RunSubmitted&) = default;
};

/// A failed or cancelled run goes on: what did not end well is pending again; what was finished stays.
struct RunReopened {
  std::string run_id;
  std::string request_id;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunReopened&, const RunReopened&) = default;
};

/// Of a run that has ended it changes nothing; it is logged so that the same request is known when it comes again.
struct RunCancelRequested {
  std::string run_id;
  std::string request_id;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunCancelRequested&, const RunCancelRequested&) = default;
};

struct RunEnded {
  std::string run_id;
  RunState state = RunState::kSucceeded;
  Failure failure;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunEnded&, const RunEnded&) = default;
};

/// The next attempt is about to be launched. Stands in the log before the launch.
struct AttemptIntended {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  std::int64_t wall_ms = 0;
  friend bool operator==(const AttemptIntended&, const AttemptIntended&) = default;
};

struct AttemptLaunched {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  friend bool operator==(const AttemptLaunched&, const AttemptLaunched&) = default;
};

struct TokenTaken {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  std::uint64_t token = 0;
  std::string incarnation;
  std::string host;
  std::int64_t pid = 0;
  friend bool operator==(const TokenTaken&, const TokenTaken&) = default;
};

struct JobCompleted {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  Usage usage;
  std::vector<ModelFile> models;
  std::map<std::string, double> metrics;
  friend bool operator==(const JobCompleted&, const JobCompleted&) = default;
};

/// The trainer says why it cannot go on; its exit follows.
struct JobFailureReported {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  Failure failure;
  friend bool operator==(const JobFailureReported&, const JobFailureReported&) = default;
};

struct AttemptExited {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  int exit_code = 0;
  /// It left because the coordinator asked it to; no failure, whatever the code.
  bool stopped = false;
  friend bool operator==(const AttemptExited&, const AttemptExited&) = default;
};

/// A shard job starts. No shards: it was reopened, and goes on with those that it has. Others than before: all starts
/// anew, but no epoch ever falls.
struct ShardsPlanned {
  std::string run_id;
  std::string job_id;
  ShardWork work;
  std::vector<PlannedShard> shards;
  std::int64_t wall_ms = 0;
  friend bool operator==(const ShardsPlanned&, const ShardsPlanned&) = default;
};

struct JobEnded {
  std::string run_id;
  std::string job_id;
  JobState state = JobState::kSucceeded;
  Failure failure;
  std::int64_t wall_ms = 0;
  friend bool operator==(const JobEnded&, const JobEnded&) = default;
};

/// Takes the place of the process that had this name.
struct LabelerRegistered {
  std::string labeler_id;
  std::string name;
  std::string incarnation;
  std::string instruction_set;
  friend bool operator==(const LabelerRegistered&, const LabelerRegistered&) = default;
};

/// Not heard of for long, and without a lease. It may register again.
struct LabelerForgotten {
  std::string labeler_id;
  friend bool operator==(const LabelerForgotten&, const LabelerForgotten&) = default;
};

struct ShardLeased {
  LeaseKey key;
  std::string labeler_id;
  /// Number of the call that asked, 0 where it had none; one call may lease many.
  std::uint64_t call = 0;
  friend bool operator==(const ShardLeased&, const ShardLeased&) = default;
};

enum class ReleaseReason { kReturned, kExpired, kReplaced, kFailed };
/// Returns: "returned", "expired", "replaced", "failed".
std::string_view ReleaseReasonName(ReleaseReason reason);

/// The lease is over without a result; the shard is pending again.
struct ShardReleased {
  LeaseKey key;
  ReleaseReason reason = ReleaseReason::kReturned;
  std::string request_id;
  friend bool operator==(const ShardReleased&, const ShardReleased&) = default;
};

struct ShardCommitted {
  LeaseKey key;
  std::string request_id;
  std::vector<ResultFile> files;
  RecordCounts counts;
  std::map<std::string, std::uint64_t> reasons;
  double seconds = 0;
  double cpu_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
  CanaryCounts canaries = {};
  friend bool operator==(const ShardCommitted&, const ShardCommitted&) = default;
};

struct ShardFailed {
  LeaseKey key;
  std::string request_id;
  Failure failure;
  RecordCounts counts;
  friend bool operator==(const ShardFailed&, const ShardFailed&) = default;
};

/// The teacher of this label job was shown to be bad. It stays so, whatever is reopened.
struct TeacherTripped {
  std::string run_id;
  std::string job_id;
  TripCause cause = TripCause::kAccuracy;
  std::string reason;
  std::int64_t wall_ms = 0;
  friend bool operator==(const TeacherTripped&, const TeacherTripped&) = default;
};

/// The order of the alternatives is nobody's business: event_codec names each on disk.
using Event = std::variant<RunSubmitted, RunReopened, RunCancelRequested, RunEnded, AttemptIntended, AttemptLaunched,
                           TokenTaken, JobCompleted, JobFailureReported, AttemptExited, ShardsPlanned, JobEnded,
                           LabelerRegistered, ShardLeased, ShardReleased, ShardCommitted, ShardFailed, TeacherTripped,
                           LabelerForgotten, RunRestored, ShardsRestored, LabelerRestored, RequestsRestored>;

/// Returns: whether it is one of snapshot_event.h.
bool OfSnapshot(const Event& event);

}  // namespace ferment::coordinator
