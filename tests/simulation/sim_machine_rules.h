// SPDX-License-Identifier: Apache-2.0
//
// What is promised of machines that fail again and again, judged by the log and the coordinator's clock alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/core/job_book.h"
#include "tests/simulation/sim_history.h"
#include "tests/simulation/sim_plan.h"

namespace ferment::simulation {

/// Whoever failed several times in a row (shards that it gave up, and times that it lost what it had leased) without a
/// commit between is granted nothing for a while, which doubles with each failure more up to a limit; a restart of the
/// coordinator forgets no failure. What one failed is given to it again only where nobody better is at work: another
/// labeler, and first one of another machine.
class SimMachineRules {
 public:
  SimMachineRules(const SimPlan& plan, SimHistory& history) : plan_(plan), history_(history) {}

  /// A coordinator has read back the log; its clock is not that of the one before.
  void Restored(MonotonicTime now);
  /// These were logged at this time by the clock of the coordinator that decided them.
  void Take(MonotonicTime now, std::span<const coordinator::Event> events);
  /// Once every run has ended.
  void Final(const coordinator::JobBook& book);

 private:
  struct Failer {
    std::string name;
    std::string host;
  };
  struct Machine {
    std::string labeler_id;
    std::string host;
    std::uint32_t failures = 0;
    MonotonicTime cools_until = MonotonicTime::min();
    bool has_tried = false;
  };
  /// Run, job, shard.
  using Place = std::tuple<std::string, std::string, std::uint64_t>;
  static Place PlaceOf(const coordinator::LeaseKey& key) { return {key.run_id, key.job_id, key.shard}; }

  void On(const coordinator::LabelerRegistered& event);
  void On(const coordinator::LabelerForgotten& event);
  void On(const coordinator::ShardsPlanned& event);
  void On(const coordinator::ShardLeased& event);
  void On(const coordinator::ShardReleased& event);
  void On(const coordinator::ShardCommitted& event);
  void On(const coordinator::ShardFailed& event);
  void On(const coordinator::ShardCondemned& event);
  void On(const coordinator::JobEnded& event);

  void CountFailure(Machine& machine);
  void CheckNobodyBetterIsAtWork(const std::string& name, const coordinator::LeaseKey& key);
  std::chrono::milliseconds Promised(std::uint32_t failures) const;
  /// Returns: nullptr where it was forgotten.
  Machine* Find(const std::string& name);

  const SimPlan& plan_;
  SimHistory& history_;
  MonotonicTime now_;
  std::map<std::string, Machine> machines_;
  /// Who holds what, by name.
  std::map<Place, std::string> leases_;
  std::map<Place, std::vector<Failer>> failed_by_;
};

}  // namespace ferment::simulation
