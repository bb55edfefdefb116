// SPDX-License-Identifier: Apache-2.0
//
// Answers labelers: grants, renews and ends leases, and takes in results.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "coordinator/core/suspect.h"
#include "coordinator/desks/labeler_desk.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/desks/shard_result.h"
#include "coordinator/metrics/rate_meter.h"
#include "coordinator/metrics/scheduler_metrics.h"

namespace ferment::coordinator {

/// What the leases of one job have in common.
struct GrantedWork {
  Phase phase = Phase::kLabel;
  std::string run_dir;
  /// Shared with the ledger: it is large and never changes.
  std::shared_ptr<const RunSpec> spec;
  ShardWork work;
};

struct GrantedLease {
  LeaseKey key;
  std::chrono::milliseconds lease_time{0};
  PlannedShard shard;
  /// One for all leases of a job in one answer.
  std::shared_ptr<const GrantedWork> job;
};

struct LeaseRequest {
  std::string labeler_id;
  std::uint32_t max_leases = 1;
  /// Counts the labeler's calls from 1; 0: the call is never made again.
  std::uint64_t call = 0;
};

struct LeaseAnswer {
  std::vector<GrantedLease> leases;
  std::chrono::milliseconds retry_after{0};
  /// No run has work for labelers now or later.
  bool idle = false;
};

struct ShardFailure {
  std::string request_id;
  std::string labeler_id;
  LeaseKey key;
  Failure failure;
  bool permanent = false;
  RecordCounts counts;
};

/// Safety is the book's: renewing, committing and returning must name the shard's present epoch, and the shard must be
/// leased. Deadlines are only for liveness; they live here, beside the book, and never touch the disk.
///
/// Thread: the scheduler's.
class LeaseDesk {
 public:
  LeaseDesk(Ledger& ledger, LabelerDesk& labelers, const Clock& clock, SchedulerMetrics& metrics)
      : ledger_(ledger), labelers_(labelers), clock_(clock), metrics_(metrics) {}

  /// After a restart: every granted lease gets one full lease time from now.
  void GiveFullLeaseTimes();

  /// Errors: NotFound (register first), FailedPrecondition (all work is for another instruction set).
  /// The same call again: those of its leases that the labeler still holds. One from before the last: none. While it
  /// cools down: none, and how long that lasts.
  Result<LeaseAnswer> Lease(const LeaseRequest& request);
  /// Returns: the lease time that starts now. Errors: Aborted (lost).
  Result<std::chrono::milliseconds> Renew(const LeaseKey& key, std::uint64_t records_done);
  /// Returns: the labeler that holds this lease; empty where it is lost.
  std::string HolderOf(const LeaseKey& key) const;
  /// Returns: whether it was committed before, by whomever, with the same digests. Errors: Aborted (the lease is lost,
  /// or other digests were committed), DataLoss (the counts do not add up, or the shard is damaged past the limit).
  Result<bool> Commit(const ShardResult& result);
  /// Errors: Aborted (lost already).
  Status Return(const LeaseKey& key);
  /// Errors: Aborted (lost already).
  Status FailShard(const ShardFailure& failure);

  /// Another process has taken this labeler's place.
  void EndLeasesOf(const std::string& labeler_id);
  /// Takes back what was neither renewed nor ended in time.
  void ExpireLeases();
  /// Fails what labelers died with again and again.
  void FailDeadly();
  /// Returns: records of leases in progress of this job, as far as renewals told.
  std::uint64_t RecordsInProgress(const Run& run, const Job& job) const;
  double RecordRate(const std::string& run_id, const std::string& job_id) const;
  /// Nothing is kept of the run but what the book has. It has ended.
  void Forget(const Run& run);
  /// Grows with each renewal.
  std::uint64_t changes() const { return changes_; }

 private:
  struct Held {
    MonotonicTime deadline;
    std::chrono::milliseconds lease_time{0};
    std::uint64_t records_done = 0;
    std::string labeler_id;
  };
  struct Found {
    const Run* run = nullptr;
    const Job* job = nullptr;
    const Shard* shard = nullptr;
  };

  /// Errors: Aborted where there is no such shard (any more).
  Result<Found> Find(const LeaseKey& key) const;
  /// Errors: Aborted where the shard is not leased under this epoch.
  Result<Found> FindLeased(const LeaseKey& key) const;
  LeaseAnswer GrantAgain(const Labeler& labeler);
  /// Returns: the labelers that live, as far as can be known.
  std::vector<Present> LabelersAlive() const;
  Surroundings Around() const;
  void FailDeadlyOf(const Run& run, const Job& job);
  void Release(const LeaseKey& key, ReleaseReason reason);
  void Describe(const LeaseKey& key, const Held& held, LeaseAnswer& answer) const;
  /// Gives the lease a full lease time from now.
  Held& Hold(const LeaseKey& key);
  void Drop(const LeaseKey& key);
  void NoteProgress(const LeaseKey& key, Held& held, std::uint64_t records_done);
  Result<bool> AnswerCommitted(const Found& found, const ShardResult& result);
  void Observe(const Found& found, const std::string& labeler_id);

  Ledger& ledger_;
  LabelerDesk& labelers_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;
  std::map<LeaseKey, Held> held_;
  /// No lease of held_ runs out before.
  MonotonicTime next_look_{};
  /// Sums of records_done over held_.
  std::map<std::string, std::uint64_t> job_progress_;
  std::map<std::string, RateMeter> job_rates_;
  std::uint64_t changes_ = 0;
};

}  // namespace ferment::coordinator
