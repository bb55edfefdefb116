// SPDX-License-Identifier: Apache-2.0
//
// A person with one run at a time: submits it, watches it, may cancel it, submits it again where it ended badly, and
// another where it ended well.
#pragma once

#include <cstdint>
#include <string>

#include "tests/simulation/sim_network.h"

namespace ferment::simulation {

class SimUser {
 public:
  SimUser(SimNetwork& network, std::uint64_t number);
  void Begin();
  /// Whether the last run has ended and no more is wanted.
  bool content() const { return content_; }

 private:
  void Submit();
  void Submit(const coordinator::Submission& submission);
  void HandleSubmitted(const Result<std::string>& run_id);
  void Watch();
  void HandleView(const Result<coordinator::RunView>& view);
  void Cancel();
  /// Suspends the run for a while.
  void Suspend();
  void Update(bool suspended);
  void RollBack();
  /// Does it at some time while this run is watched.
  void Sometime(SimTime latest, void (SimUser::*act)());

  SimNetwork& network_;
  SimWorld& world_;
  const std::string name_;
  SimProcess process_;
  const Patience patience_;
  std::string run_dir_;
  RunSpec spec_;
  std::uint64_t folders_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t watching_ = 0;
  std::string run_id_;
  SimTime wants_it_suspended_until_{0};
  bool content_ = false;
};

}  // namespace ferment::simulation
