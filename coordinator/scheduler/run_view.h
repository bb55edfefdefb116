// SPDX-License-Identifier: Apache-2.0
//
// What outsiders see of a run: the book's state and the live figures beside it, as one value.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/core/job_book.h"
#include "coordinator/desks/lease_desk.h"
#include "coordinator/desks/trainer_desk.h"

namespace ferment::coordinator {

struct ShardsView {
  std::uint64_t pending = 0;
  std::uint64_t leased = 0;
  std::uint64_t committed = 0;
  std::uint64_t failed = 0;
  /// As Job::letters.
  std::string grid;
};

struct JobView {
  std::string job_id;
  Phase phase = Phase::kTeacher;
  std::uint32_t round = 0;
  JobState state = JobState::kPending;
  std::uint32_t attempts = 0;
  /// Steps of a trainer job, shards of a shard job.
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  /// Samples, records or frames a second, lately.
  double rate = 0;
  Usage usage;
  double seconds = 0;
  std::map<std::string, double> metrics;
  ShardsView shards;
  RecordCounts records;
  std::string failure;
  std::string waiting;
};

struct LabelerView {
  std::string name;
  std::uint64_t shards_committed = 0;
  std::uint64_t records = 0;
  double rate = 0;
  /// In a row, since it last committed a shard.
  std::uint32_t failures = 0;
  /// For how long it is granted nothing; 0: it may be.
  double cool_down_seconds = 0;
};

struct RunView {
  std::string run_id;
  std::string name;
  std::string run_dir;
  RunState state = RunState::kRunning;
  bool suspended = false;
  /// It has failed or was cancelled, and its processes have not all left.
  bool ending = false;
  std::int32_t priority = 0;
  Failure failure;
  std::vector<std::string> classes;
  std::vector<JobView> jobs;
  std::vector<LabelerView> labelers;
  /// Grows with every change, across restarts too.
  std::uint64_t revision = 0;
};

struct RunPage {
  std::vector<RunView> runs;
  /// Whether others follow.
  bool more = false;
};

struct LiveFigures {
  const LabelerDesk& labelers;
  const LeaseDesk& leases;
  const TrainerDesk& trainers;
  std::int64_t now_wall_ms = 0;
  /// The store's term; puts revisions of a restarted coordinator above the former ones.
  std::uint64_t term = 0;
};

RunView MakeRunView(const JobBook& book, const Run& run, const RunSpec& spec, const LiveFigures& live);

}  // namespace ferment::coordinator
