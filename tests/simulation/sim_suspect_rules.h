// SPDX-License-Identifier: Apache-2.0
//
// What is promised of shards that kill their labelers, judged by the log and by who really died of what.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <tuple>

#include "coordinator/core/job_event.h"
#include "tests/simulation/sim_history.h"
#include "tests/simulation/sim_plan.h"

namespace ferment::simulation {

/// A shard that kills whoever works on it fails its job after a few deaths. One that does not fails it only where four
/// that held it alone, one after the other, were really killed: not for those that were stopped, cut off or slow, whose
/// lease the coordinator lost, or that gave it up. Whoever tries a suspect one holds nothing beside it.
class SimSuspectRules {
 public:
  SimSuspectRules(const SimPlan& plan, SimHistory& history) : plan_(plan), history_(history) {}

  void Take(std::span<const coordinator::Event> events);
  /// A labeler dies of this shard.
  void Died(const coordinator::LeaseKey& key);
  /// A labeler dies, of whatever.
  void Killed(const std::string& labeler_id) { killed_.insert(labeler_id); }

 private:
  /// Run, job, shard.
  using Place = std::tuple<std::string, std::string, std::uint64_t>;
  static Place PlaceOf(const coordinator::LeaseKey& key) { return {key.run_id, key.job_id, key.shard}; }

  void On(const coordinator::RunReopened& event);
  void On(const coordinator::JobEnded& event);
  void On(const coordinator::LabelerReturned& event);
  void On(const coordinator::ShardLeased& event);
  void On(const coordinator::ShardReleased& event);
  void On(const coordinator::ShardCommitted& event) { Drop(event.key); }
  void On(const coordinator::ShardFailed& event) { Drop(event.key); }
  void On(const coordinator::ShardCondemned& event);
  void Drop(const coordinator::LeaseKey& key);

  const SimPlan& plan_;
  SimHistory& history_;
  /// Since the run was submitted or reopened, or a labeler gave the shard up and lived.
  std::map<Place, std::uint64_t> deaths_;
  /// Who has held it alone and not called again after losing it, as long as `deaths_`.
  std::map<Place, std::set<std::string>> tried_alone_;
  std::set<std::string> killed_;
  /// By labeler: what it holds, and whether that is a suspect shard.
  std::map<std::string, std::map<Place, bool>> leases_;
};

}  // namespace ferment::simulation
