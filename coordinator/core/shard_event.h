// SPDX-License-Identifier: Apache-2.0
//
// Events of shard jobs, their leases and results, of labelers and teachers; and of the end of any job.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/job.h"

namespace ferment::coordinator {

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
  std::string host = {};
  friend bool operator==(const LabelerRegistered&, const LabelerRegistered&) = default;
};

/// Not heard of for long, and without a lease. It may register again.
struct LabelerForgotten {
  std::string labeler_id;
  friend bool operator==(const LabelerForgotten&, const LabelerForgotten&) = default;
};

/// It calls again although leases of it ran out: it lives, so no shard is to blame for its silence.
struct LabelerReturned {
  std::string labeler_id;
  friend bool operator==(const LabelerReturned&, const LabelerReturned&) = default;
};

struct ShardLeased {
  LeaseKey key;
  std::string labeler_id;
  /// Number of the call that asked, 0 where it had none; one call may lease many.
  std::uint64_t call = 0;
  /// The shard is suspect: its labeler holds nothing else and is granted nothing else before this lease is over.
  bool alone = false;
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
  /// As far as the last renewal told.
  std::uint64_t records_done = 0;
  friend bool operator==(const ShardReleased&, const ShardReleased&) = default;
};

struct ShardCommitted {
  LeaseKey key;
  std::string request_id;
  std::vector<ResultFile> files;
  RecordCounts counts;
  double seconds = 0;
  double cpu_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
  CanaryCounts canaries = {};
  friend bool operator==(const ShardCommitted&, const ShardCommitted&) = default;
};

/// The shard is leased; or pending, in a log of before there was ShardCondemned.
struct ShardFailed {
  LeaseKey key;
  std::string request_id;
  Failure failure;
  RecordCounts counts;
  friend bool operator==(const ShardFailed&, const ShardFailed&) = default;
};

/// Labelers died with the shard, which is pending, until it was to blame; `key` names its last lease.
struct ShardCondemned {
  LeaseKey key;
  Failure failure;
  friend bool operator==(const ShardCondemned&, const ShardCondemned&) = default;
};

/// The teacher of this label job is no more to be learned from. It stays so, whatever is reopened.
struct TeacherTripped {
  std::string run_id;
  std::string job_id;
  TripCause cause = TripCause::kAccuracy;
  std::string reason;
  std::int64_t wall_ms = 0;
  /// Of an operator's; else empty.
  std::string request_id = {};
  friend bool operator==(const TeacherTripped&, const TeacherTripped&) = default;
};

}  // namespace ferment::coordinator
