// SPDX-License-Identifier: Apache-2.0
//
// What one seed asks for: how large the cluster is, how its people and programs behave, and what breaks.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "common/rpc/outage_patience.h"
#include "coordinator/core/lease_policy.h"
#include "coordinator/scheduler/run_retention.h"
#include "tests/simulation/sim_queue.h"

namespace ferment::simulation {

enum class Fault {
  kKillCoordinator,
  kPowerLoss,
  kDrainCoordinator,
  kStopCoordinator,
  kSecondCoordinator,
  kDieInSave,
  kFailSync,
  kSlowDisk,
  kKillLabeler,
  kStopLabeler,
  kPartition,
  kNetworkStorm,
  kKillTrainer,
  kStopTrainer,
  kLaunchTrouble,
  kJumpClock,
};
inline constexpr int kFaultKinds = 16;

/// A value; a function of the seed alone.
struct SimPlan {
  explicit SimPlan(std::uint64_t seed);

  std::uint64_t seed;
  std::uint64_t labelers = 0;
  std::uint64_t runs = 0;
  std::uint64_t rounds = 0;
  std::uint64_t label_shards = 0;
  /// 0: the run has none.
  std::uint64_t videos = 0;
  std::uint64_t shard_records = 0;

  SimTime lease{0};
  SimTime shortest_work{0};
  SimTime longest_work{0};
  SimTime trainer_work{0};
  SimTime tick{0};
  std::uint64_t batch_limit = 0;

  /// Faults come until then, on average one in `fault_pause`; afterwards all heals.
  SimTime fault_time{0};
  SimTime fault_pause{0};
  /// No coordinator is up from then on, for so long; 0: one comes back within seconds. Faults end a while before.
  SimTime outage_begin{0};
  SimTime outage{0};
  std::vector<Fault> faults;

  /// Of each message, at any time before `fault_time`.
  double drop = 0;
  double duplicate = 0;
  double slow = 0;
  SimTime slowest{0};
  /// A labeler whose arithmetic gives other bytes; that miscounts; that gives up a shard; that hands one back.
  double other_bytes = 0;
  double miscount = 0;
  double shard_fails = 0;
  double hand_back = 0;
  /// A labeler that commits although it was told that its lease is lost.
  double stubborn = 0;
  /// Start of a trainer: it dies at some time; the platform starts it twice; the launcher fails.
  double trainer_dies = 0;
  double started_twice = 0;
  /// Finds itself stopped between its last file and its last word.
  double stops_before_end = 0;
  double launch_fails = 0;
  /// Told to leave, it has just said that it has completed, and that arrives when its run has been submitted again.
  double last_word = 0;
  /// The coordinator dies right after it logged something that turns a run: a cancel, an intent, an end.
  double dies_at_turn = 0;
  /// A labeler dies soon after it started.
  double dies_young = 0;
  /// A task of the coordinator's (a launch, a file) takes seconds.
  double slow_task = 0;
  /// The launcher knows the exit codes of jobs that a former coordinator started, as a cluster's queue does.
  bool remembers_exits = false;
  /// A folder operation fails.
  double file_fails = 0;
  /// Two coordinators may hold the store at once, the older one fenced; SQLite's lock lets nobody in beside the first.
  bool shared_store = false;
  /// With a shared store: a coordinator is stopped before it writes an index, or between its fence and the rename.
  double stops_before_rename = 0;
  double cancel = 0;
  /// A run is suspended for a while; the operator goes back to the teacher before.
  double suspend = 0;
  double roll_back = 0;
  /// A failed or cancelled run is submitted again.
  double reopen = 0;
  /// A teacher names a tenth of the canaries rightly, not nine tenths; canaries of a shard.
  double bad_teacher = 0;
  std::uint64_t canaries = 0;
  /// How long a labeler is silent before it is forgotten; longer than any message is under way.
  SimTime forget_labelers{0};
  /// From a person's first attempt to the last.
  SimTime people_ask_for = rpc::kOutagePatience;
  /// Which runs are remembered that have ended; longer than a person asks and the last attempt is under way.
  coordinator::RetentionRule retention;
  /// Events of the log before a snapshot takes their place.
  std::uint64_t compact_after = 0;
  /// Clocks run at 1 - skew to 1 + skew.
  double skew = 0;
  /// Labelers stand on machines, so many on each, and the first machines are faulty for good: each labeler there dies
  /// with what it holds, or gives up every shard, and soon. There always are healthy ones.
  std::uint64_t labelers_a_machine = 1;
  std::uint64_t faulty_machines = 0;
  double machine_kills = 0;
  coordinator::CoolDownRule cool_down;
  /// Nothing else is wrong, but that the coordinator may be killed: every run must succeed.
  bool only_machines_fail = false;
  /// Shards of every label job that kill whoever works on them, and how far it comes.
  std::set<std::uint64_t> deadly_shards;
  double deadly_at = 0;

  std::string HostOf(std::uint64_t labeler) const { return "host-" + std::to_string(labeler / labelers_a_machine); }
  bool OnFaultyMachine(std::uint64_t labeler) const { return labeler / labelers_a_machine < faulty_machines; }
  bool IsDeadly(const coordinator::LeaseKey& key) const {
    return key.job_id.starts_with("label") && deadly_shards.contains(key.shard);
  }
  std::string Describe() const;

 private:
  void DrawMachines();
  void DrawDeadlyShards();
  void DrawRetention();
  void DrawOutage();
  void LetOnlyMachinesFail();
};

}  // namespace ferment::simulation
