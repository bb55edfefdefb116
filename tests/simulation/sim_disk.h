// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's log on a disk that loses what was not synced, and the store that stands on it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "coordinator/store/event_store.h"
#include "tests/simulation/sim_queue.h"

namespace ferment::simulation {

/// Thrown out of a port when the process that called it is killed right there.
struct ProcessDied {
  std::string where;
};

/// What outlives every coordinator.
struct SimDisk {
  struct Row {
    std::uint64_t term = 0;
    std::string body;
  };
  std::vector<Row> synced;
  /// In the page cache: a killed process leaves it, a power cut does not.
  std::vector<Row> unsynced;
  std::uint64_t term = 0;

  void Sync();
  void LosePower() { unsynced.clear(); }
};

/// What the next saves meet; set by the nemesis.
struct DiskTrouble {
  enum class Next { kNothing, kDieBeforeSync, kDieAfterSync, kFailAndLose, kFailAndKeep };
  Next next = Next::kNothing;
  SimTime latency{0};
};

/// Where the simulation looks over a store's shoulder.
class DiskWitness {
 public:
  virtual ~DiskWitness() = default;
  /// Other threads of the process may run now.
  virtual void WhileSaving() = 0;
  /// These events stand in the log.
  virtual void Logged(std::uint64_t term, std::span<const coordinator::Event> events) = 0;
  /// A snapshot stands in the log's place.
  virtual void Compacted(std::size_t events) = 0;
  /// The store failed: no answer may leave this process any more, and it must end.
  virtual void Failed(const Status& why) = 0;
};

/// Keeps EventStore's contract: a new term fences the old, all or none, durable before it returns, and after a failure
/// every call fails. Events go through the production codec.
class SimEventStore final : public coordinator::EventStore {
 public:
  SimEventStore(SimDisk& disk, DiskTrouble& trouble, DiskWitness& witness);
  std::uint64_t term() const override { return term_; }
  Status Append(std::span<const coordinator::Event> events) override;
  Status Confirm() override;
  Status Replace(const std::function<Status(const coordinator::EventSink&)>& write) override;
  Status Replay(const coordinator::EventSink& visit) override;

 private:
  /// Meets what the nemesis has in store for a save: dies, or fails before it. Returns: what comes after it.
  Result<DiskTrouble::Next> BeginSave();
  Status EndSave(DiskTrouble::Next next);

  SimDisk& disk_;
  DiskTrouble& trouble_;
  DiskWitness& witness_;
  const std::uint64_t term_;
  Status failed_;
};

}  // namespace ferment::simulation
