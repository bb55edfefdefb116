// SPDX-License-Identifier: Apache-2.0
//
// The words of the coordinator: run, job, attempt, shard, lease, and the states that each can be in.
//
//   run      one execution of a spec. Its jobs form a small graph that is fixed when it is submitted.
//   job      one phase of one run (and round). A trainer job is a program under mpirun; a shard job is work that
//            labelers lease piece by piece.
//   attempt  one start of a trainer job. They are numbered from 1 and never reused.
//   token    what rank 0 of an attempt takes before its first write. It belongs to the job and only grows.
//   shard    a contiguous range of records, or one group of videos.
//   lease    the right of one labeler to work on one shard until a deadline.
//   epoch    the number of leases that a shard ever had. It belongs to the shard and never resets.
//
//   run:    running --1--> succeeded | failed | cancelled      1 all jobs have ended and the report is written
//           (suspended: running, but nothing of it is started or leased until it is resumed)
//           failed | cancelled --2--> running                  2 submitted again, same folder and same spec
//
//   job:    pending --1--> running --2--> succeeded            1 all it needs has ended well; 2 work complete
//              |             |----3-----> failed               3 permanent exit code, retries used up, a shard failed
//              |             `----4-----> cancelled            4 the run was cancelled or another job failed
//              |--------4---------------> cancelled            skipped: from the start, the spec has no use for it
//              `--------6---------------> skipped              6 a later teacher was stopped: its round is left out
//           failed | cancelled --5--> pending                  5 the run is reopened
//
//   shard:  pending --1--> leased --2--> committed             1 granted: epoch + 1; 2 epoch and state match
//              ^             |--3--> pending                   3 returned, expired, its labeler came anew, failed once
//              |             `--4--> failed                    4 failed for good
//              |--------------6----> failed                    6 labelers died with it again and again
//              `-----------5----------' (failed)               5 the run is reopened
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace ferment::coordinator {

enum class Phase { kTeacher, kLabel, kCotrain, kFinetune, kFeatures, kTemporal, kEvaluate };
enum class RunState { kRunning, kSucceeded, kFailed, kCancelled };
enum class JobState { kPending, kRunning, kSucceeded, kFailed, kSkipped, kCancelled };
enum class ShardState { kPending, kLeased, kCommitted, kFailed };
/// Why a teacher is stopped. kOperator: somebody asked for the one before it.
enum class TripCause { kAccuracy, kCollapsed, kAcceptance, kDrift, kOperator };
/// What a person is advised by, where a failure's exit code does not tell. kPlanRefused: labeling.plan gives other
/// labels than fp32, and no data are amiss.
enum class FailureCause { kOther, kPlanRefused };

/// Returns: "teacher", "label" ...
std::string_view PhaseName(Phase phase);
/// Returns: "running", "succeeded", "failed", "cancelled".
std::string_view RunStateName(RunState state);
/// Returns: "pending", "running", "succeeded", "failed", "skipped", "cancelled".
std::string_view JobStateName(JobState state);
/// Returns: "accuracy", "collapsed", "acceptance", "drift", "operator".
std::string_view TripCauseName(TripCause cause);
/// Returns: "", "plan-refused".
std::string_view FailureCauseName(FailureCause cause);

/// Labelers work on these; all others are trainer jobs.
inline bool IsShardPhase(Phase phase) { return phase == Phase::kLabel || phase == Phase::kFeatures; }
inline bool HasEnded(JobState state) { return state != JobState::kPending && state != JobState::kRunning; }

struct RecordCounts {
  std::uint64_t read = 0;
  std::uint64_t labelled = 0;
  std::uint64_t abstained = 0;
  std::uint64_t quarantined = 0;
  /// Labelled records of each class, in the spec's order.
  std::vector<std::uint64_t> class_histogram;

  bool Conserved() const { return read == labelled + abstained + quarantined; }
  void Add(const RecordCounts& other);
  friend bool operator==(const RecordCounts&, const RecordCounts&) = default;
};

/// Held-out labelled faces that travelled among the records, and how many of them the teacher named rightly.
struct CanaryCounts {
  std::uint64_t correct = 0;
  std::uint64_t checked = 0;

  void Add(const CanaryCounts& other);
  friend bool operator==(const CanaryCounts&, const CanaryCounts&) = default;
};

struct Failure {
  std::string message;
  int exit_code = 0;
  FailureCause cause = FailureCause::kOther;
  friend bool operator==(const Failure&, const Failure&) = default;
};

struct Usage {
  std::uint64_t samples = 0;
  double cpu_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
  friend bool operator==(const Usage&, const Usage&) = default;
};

/// A network that a trainer job published; the file is relative to the run's folder.
struct ModelFile {
  std::string role;
  std::string file;
  std::string sha256;
  friend bool operator==(const ModelFile&, const ModelFile&) = default;
};

/// A network that a shard job runs, and the folder (relative to the run's) for what it makes.
struct WorkModel {
  std::string role;
  std::string file;
  std::string digest;
  std::string output_dir;
  friend bool operator==(const WorkModel&, const WorkModel&) = default;
};

/// A file that a labeler wrote; relative to the run's folder.
struct ResultFile {
  std::string file;
  std::string sha256;
  friend bool operator==(const ResultFile&, const ResultFile&) = default;
};

struct PlannedJob {
  std::string job_id;
  Phase phase = Phase::kTeacher;
  std::uint32_t round = 0;
  /// Job ids that must have ended well, or be skipped, before it may start.
  std::vector<std::string> needs;
  bool skipped = false;
  friend bool operator==(const PlannedJob&, const PlannedJob&) = default;
};

struct PlannedShard {
  /// The video group's name; empty where the shard is a range of records.
  std::string group;
  std::uint64_t first_record = 0;
  std::uint64_t record_count = 0;
  friend bool operator==(const PlannedShard&, const PlannedShard&) = default;
};

/// What a shard job is about, fixed when it starts.
struct ShardWork {
  std::string dataset;
  std::string label_config;
  /// The class of machine that may work on it; empty: any.
  std::string instruction_set;
  std::uint32_t lease_ms = 0;
  /// Share of quarantined records past which a shard fails.
  double max_damage = 1;
  std::vector<WorkModel> models;
  friend bool operator==(const ShardWork&, const ShardWork&) = default;
};

/// Names one grant of one shard.
struct LeaseKey {
  std::string run_id;
  std::string job_id;
  std::uint64_t shard = 0;
  std::uint64_t epoch = 0;
  friend bool operator==(const LeaseKey&, const LeaseKey&) = default;
  /// Numbers first: they tell two leases of a job apart, whose names are the same.
  friend std::strong_ordering operator<=>(const LeaseKey& a, const LeaseKey& b) {
    return std::tie(a.shard, a.epoch, a.run_id, a.job_id) <=> std::tie(b.shard, b.epoch, b.run_id, b.job_id);
  }
};

}  // namespace ferment::coordinator
