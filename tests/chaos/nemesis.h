// SPDX-License-Identifier: Apache-2.0
//
// Breaks what a cluster is made of, one thing after another, as a seed says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "tests/chaos/chaos_cluster.h"

namespace ferment::chaos {

struct NemesisOptions {
  /// From one fault to the next: drawn between a quarter of it and this.
  std::chrono::milliseconds pause{600};
  /// A coordinator that leads and a labeler are not ended sooner than this after they were started.
  std::chrono::milliseconds least_life{0};
  /// Trainers killed in the whole round: a job may be started again three times.
  int trainer_kills = 2;
  /// How often the database itself is ended as by a crash; `crash_store` does it and starts it again.
  int store_crashes = 0;
  std::function<void()> crash_store = nullptr;
  std::string mark = {};
};

/// Thread: one.
class Nemesis {
 public:
  Nemesis(ChaosCluster& cluster, NemesisOptions options)
      : cluster_(cluster), options_(std::move(options)), draw_(cluster.options().seed, StreamOf("nemesis")) {}

  /// Does what is due.
  void Step(Instant now);
  /// Ends every fault.
  void Heal();
  /// Faults so far by name.
  const std::map<std::string, int>& faults() const { return counts_; }

 private:
  struct Fault {
    const char* name;
    int weight;
    /// Returns: whether there was something to break.
    bool (Nemesis::*strike)(Instant now);
  };
  static const std::vector<Fault>& Faults();

  bool KillLeader(Instant now);
  bool TellLeaderToLeave(Instant now);
  bool StopLeader(Instant now);
  bool KillStandby(Instant now);
  bool KillLabeler(Instant now);
  bool TellLabelerToLeave(Instant now);
  bool StopLabeler(Instant now);
  bool KillTrainer(Instant now);
  bool StopTrainer(Instant now);
  bool StartTrainerAgain(Instant now);
  bool CutLink(Instant now);
  bool HoldLink(Instant now);
  bool SlowLink(Instant now);
  bool MoveClock(Instant now);
  bool CrashStore(Instant now);

  std::chrono::milliseconds Between(int low_ms, int high_ms);
  ChaosProcess& AnyLabeler();
  bool TooYoung(const ChaosProcess& process, Instant now) const {
    return now < process.started() + options_.least_life;
  }
  std::size_t AnyLink();
  void Later(Instant when, std::function<void()> undo) { undo_.emplace(when, std::move(undo)); }
  void Say(const std::string& what, const std::string& note);

  ChaosCluster& cluster_;
  NemesisOptions options_;
  RandomSequence draw_;
  Instant next_{};
  std::multimap<Instant, std::function<void()>> undo_;
  std::map<std::string, int> counts_;
  std::vector<event::ChildProcess> doubled_;
};

}  // namespace ferment::chaos
