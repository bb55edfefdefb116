// SPDX-License-Identifier: Apache-2.0
//
// What runs trainer jobs: processes that outlive coordinators, and the launcher through which each coordinator sees
// them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/launch/launcher.h"
#include "tests/simulation/sim_network.h"

namespace ferment::simulation {

/// Rank 0 of one start: takes its token, writes, reports, completes, leaves.
class SimTrainer {
 public:
  struct Parts {
    SimNetwork& network;
    coordinator::LaunchKey key;
    std::string run_dir;
    std::uint64_t number = 0;
    /// Work that checkpoints of the job have not done yet; shared by its attempts.
    SimTime& work_left;
    std::function<void(int exit_code)> exited;
  };
  explicit SimTrainer(Parts parts);
  void Begin();
  void Signal(int signal);
  /// The platform has forgotten it: no signal finds it, and only the answer to a report tells it to leave.
  void LoseTrace() { traced_ = false; }
  SimProcess& process() { return process_; }
  std::uint64_t number() const { return parts_.number; }
  const std::string& name() const { return name_; }
  const coordinator::LaunchKey& key() const { return parts_.key; }
  /// Returns: whether it makes steps, and a launcher that knows it may say so.
  bool Trains() const { return token_ != 0 && traced_ && !leaving_ && !told_to_leave_; }

 private:
  void TakeToken();
  void Step();
  void Report();
  SimCall<Status>::Serve Completes() const;
  void Complete();
  void Fail(int exit_code);
  void Exit(int exit_code);

  const Parts parts_;
  SimNetwork& network_;
  SimWorld& world_;
  const std::string name_;
  SimProcess process_;
  std::uint64_t token_ = 0;
  bool leaving_ = false;
  bool told_to_leave_ = false;
  bool traced_ = true;
};

/// Thread: none; a history has one.
class SimPlatform {
 public:
  explicit SimPlatform(SimNetwork& network) : network_(network), world_(network.world()) {}

  /// Returns: the launcher of one coordinator process; `number` tells its children from those of others.
  std::unique_ptr<coordinator::Launcher> MakeLauncher(std::uint64_t number);
  /// The machine of coordinator and trainers goes down.
  void PowerLoss();
  std::vector<SimTrainer*> Live();

  Status Launch(std::uint64_t parent, const coordinator::LaunchRequest& request);
  coordinator::LaunchState Poll(std::uint64_t parent, const coordinator::LaunchKey& key);
  Status Signal(const coordinator::LaunchKey& key, int signal);
  void Continue(std::uint64_t trainer) { trainers_.at(trainer)->process().Continue(); }
  void SetTroubleUntil(SimTime time) { trouble_until_ = time; }

 private:
  struct Entry {
    std::uint64_t parent = 0;
    std::uint64_t trainer = 0;
    coordinator::LaunchState state{coordinator::LaunchState::Kind::kRunning, 0};
  };
  std::uint64_t Start(const coordinator::LaunchRequest& request);

  SimNetwork& network_;
  SimWorld& world_;
  std::map<std::string, Entry> entries_;
  std::map<std::uint64_t, std::unique_ptr<SimTrainer>> trainers_;
  std::map<std::string, SimTime> work_left_;
  std::uint64_t next_trainer_ = 1;
  SimTime trouble_until_{0};
};

}  // namespace ferment::simulation
