// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_machine_rules.h"

#include <algorithm>
#include <variant>

namespace ferment::simulation {
namespace {

using namespace coordinator;  // NOLINT(google-build-using-namespace): every event by its name

template <typename Map>
void EraseOf(Map& map, const std::string& run_id, const std::string& job_id) {
  std::erase_if(map,
                [&](const auto& one) { return std::get<0>(one.first) == run_id && std::get<1>(one.first) == job_id; });
}

}  // namespace

std::chrono::milliseconds SimMachineRules::Promised(std::uint32_t failures) const {
  if (failures < plan_.cool_down.after) return std::chrono::milliseconds(0);
  const std::uint32_t doublings = std::min(failures - plan_.cool_down.after, 30U);
  return std::min(plan_.cool_down.longest, plan_.cool_down.first * (std::int64_t{1} << doublings));
}

SimMachineRules::Machine* SimMachineRules::Find(const std::string& name) {
  const auto found = machines_.find(name);
  return found == machines_.end() ? nullptr : &found->second;
}

void SimMachineRules::Restored(MonotonicTime now) {
  for (auto& [name, machine] : machines_) {
    machine.cools_until = machine.failures == 0 ? MonotonicTime::min() : now + Promised(machine.failures);
  }
}

void SimMachineRules::Take(MonotonicTime now, std::span<const Event> events) {
  now_ = now;
  for (const Event& event : events) {
    std::visit(
        [this](const auto& one) {
          if constexpr (requires { On(one); }) On(one);
        },
        event);
  }
}

void SimMachineRules::On(const LabelerRegistered& event) {
  Machine& machine = machines_[event.name];
  if (machine.host != event.host) machine = {};
  machine.host = event.host;
  machine.labeler_id = event.labeler_id;
  machine.has_tried = false;
}

void SimMachineRules::On(const LabelerForgotten& event) {
  std::erase_if(machines_, [&](const auto& one) { return one.second.labeler_id == event.labeler_id; });
}

void SimMachineRules::On(const ShardsPlanned& event) {
  if (!event.shards.empty()) EraseOf(failed_by_, event.run_id, event.job_id);
}

void SimMachineRules::CheckNobodyBetterIsAtWork(const std::string& name, const LeaseKey& key) {
  const auto failed = failed_by_.find(PlaceOf(key));
  if (failed == failed_by_.end()) return;
  const auto rank = [&](const std::string& who) {
    int worst = 0;
    for (const Failer& failer : failed->second) {
      if (failer.name == who) return 2;
      if (failer.host == machines_[who].host) worst = 1;
    }
    return worst;
  };
  const int own = rank(name);
  for (const auto& [place, holder] : leases_) {
    if (machines_[holder].cools_until > now_ || rank(holder) >= own) continue;
    history_.Violate("elsewhere",
                     (own == 2 ? "a shard goes back to " : "a shard goes to the machine of who failed it, ") + name +
                         " while " + holder + " is at work: " + Name(key));
    return;
  }
}

void SimMachineRules::On(const ShardLeased& event) {
  const std::string name = event.labeler_id.substr(0, event.labeler_id.find('/'));
  Machine& machine = machines_[name];
  if (machine.cools_until > now_) {
    history_.Violate("cool-down", "granted although it failed " + std::to_string(machine.failures) +
                                      " times in a row: labeler=" + name + " " + Name(event.key));
  }
  // Who tries a suspect one is chosen by who died with it.
  if (!event.alone) CheckNobodyBetterIsAtWork(name, event.key);
  machine.has_tried = true;
  leases_[PlaceOf(event.key)] = name;
}

void SimMachineRules::CountFailure(Machine& machine) {
  machine.has_tried = false;
  machine.cools_until = now_ + Promised(++machine.failures);
}

void SimMachineRules::On(const ShardReleased& event) {
  const auto lease = leases_.extract(PlaceOf(event.key));
  Machine* machine = lease.empty() ? nullptr : Find(lease.mapped());
  if (machine == nullptr) return;
  if (event.reason == ReleaseReason::kFailed) {
    failed_by_[PlaceOf(event.key)].push_back({lease.mapped(), machine->host});
    CountFailure(*machine);
  } else if (event.reason != ReleaseReason::kReturned && machine->has_tried) {
    CountFailure(*machine);  // all that it held is lost at once, and once
  }
}

void SimMachineRules::On(const ShardCommitted& event) {
  failed_by_.erase(PlaceOf(event.key));
  const auto lease = leases_.extract(PlaceOf(event.key));
  Machine* machine = lease.empty() ? nullptr : Find(lease.mapped());
  if (machine == nullptr) return;
  machine->failures = 0;
  machine->cools_until = MonotonicTime::min();
}

void SimMachineRules::On(const ShardFailed& event) {
  failed_by_.erase(PlaceOf(event.key));
  leases_.erase(PlaceOf(event.key));
}

void SimMachineRules::On(const ShardCondemned& event) { failed_by_.erase(PlaceOf(event.key)); }

void SimMachineRules::On(const JobEnded& event) { EraseOf(leases_, event.run_id, event.job_id); }

void SimMachineRules::Final(const JobBook& book) {
  if (!plan_.only_machines_fail) return;
  for (const std::string& run_id : book.run_order()) {
    const Run& run = *book.FindRun(run_id);
    if (run.state == RunState::kSucceeded) continue;
    history_.Violate("machines", "a run failed because of faulty machines beside healthy ones: run=" + run_id + ": " +
                                     run.failure.message);
  }
}

}  // namespace ferment::simulation
