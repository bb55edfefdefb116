// SPDX-License-Identifier: Apache-2.0
//
// One history: coordinators in turn, labelers, trainers, people, and what breaks; from a seed to a verdict.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/sim_coordinator.h"
#include "tests/simulation/sim_labeler.h"
#include "tests/simulation/sim_network.h"
#include "tests/simulation/sim_platform.h"
#include "tests/simulation/sim_user.h"
#include "tests/simulation/sim_world.h"

namespace ferment::simulation {

struct Outcome {
  std::optional<Violation> violation;
  std::uint64_t digest = 0;
  std::uint64_t lines = 0;
  SimTime simulated{0};
  std::deque<std::string> last_lines;
};

/// Thread: none. Use once.
class SimCluster {
 public:
  SimCluster(std::uint64_t seed, bool trace);
  Outcome Run();

 private:
  /// A coordinator is up some time later.
  void StartCoordinatorAfter(SimTime delay);
  void StartCoordinator();
  /// Returns: the coordinator that a call arrives at; rarely an older one that has not noticed that it is fenced.
  SimCoordinator* Reach();
  void StopForAWhile(SimCoordinator& coordinator, bool another_starts);
  SimCoordinator* Latest();

  void PlanFault();
  void Break(Fault fault);
  void BreakCoordinator(Fault fault);
  void BreakAround(Fault fault);
  void Heal();
  /// The coordinator's machine is gone for minutes.
  void BeginOutage();
  /// Returns: how long it is until a coordinator may be up.
  SimTime OutageLeft() const;
  bool Finished() const;

  SimWorld world_;
  SimNetwork network_;
  SimPlatform platform_;
  std::vector<std::unique_ptr<SimCoordinator>> coordinators_;
  /// Dead ones may still be on the call stack.
  std::vector<std::unique_ptr<SimCoordinator>> buried_;
  std::vector<std::unique_ptr<SimLabeler>> labelers_;
  std::vector<std::unique_ptr<SimUser>> users_;
  std::uint64_t coordinator_number_ = 0;
  bool starting_ = false;
};

}  // namespace ferment::simulation
