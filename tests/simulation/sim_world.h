// SPDX-License-Identifier: Apache-2.0
//
// All that one history has in common: time, chance, what outlives processes, and who watches.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "common/base/random.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/sim_files.h"
#include "tests/simulation/sim_history.h"
#include "tests/simulation/sim_log_rules.h"
#include "tests/simulation/sim_machine_rules.h"
#include "tests/simulation/sim_oracle.h"
#include "tests/simulation/sim_outage_rules.h"
#include "tests/simulation/sim_plan.h"
#include "tests/simulation/sim_queue.h"
#include "tests/simulation/sim_suspect_rules.h"

namespace ferment::simulation {

struct SimWorld {
  SimWorld(std::uint64_t seed, bool trace)
      : plan(seed),
        random(seed, StreamOf("simulation.world")),
        history(queue, trace),
        log(history, plan.retention.runs),
        machines(plan, history),
        suspects(plan, history),
        outage(history),
        files(plan, history, log),
        oracle(history, log, files) {}

  const SimPlan plan;
  RandomSequence random;
  SimQueue queue;
  SimHistory history;
  SimLogRules log;
  SimMachineRules machines;
  SimSuspectRules suspects;
  SimOutageRules outage;
  SimFiles files;
  SimOracle oracle;
  SimDisk disk;
  DiskTrouble trouble;
  /// By run: what is in the network until the run has been submitted again.
  std::multimap<std::string, std::function<void()>> until_reopened;

  bool Faulty() const { return queue.now() < plan.fault_time; }
  bool Chance(double probability) { return random.Uniform(0, 1) < probability; }
  SimTime Between(SimTime low, SimTime high) {
    return low + SimTime(static_cast<SimTime::rep>(random.Below(static_cast<std::uint64_t>((high - low).count()) + 1)));
  }
  /// Returns: what becomes of a shard's canaries under this teacher, whoever labels.
  coordinator::CanaryCounts Canaries(const std::string& run_dir, const std::string& teacher) const {
    const bool bad = RandomUniform(plan.seed, StreamOf("teachers/" + run_dir + "/" + teacher), 0) < plan.bad_teacher;
    return {bad ? plan.canaries / 10 : plan.canaries - plan.canaries / 10, plan.canaries};
  }
  /// Returns: the rate of one more machine's clock.
  double ClockRate() { return random.Uniform(1 - plan.skew, 1 + plan.skew); }
};

}  // namespace ferment::simulation
