// SPDX-License-Identifier: Apache-2.0
//
// The processes that `ferment run` starts beside itself: a coordinator and labelers, kept alive until they are drained.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/event/child_process.h"
#include "common/event/process_record.h"

namespace ferment::cli {

struct FleetConfig {
  /// Where ferment-coordinator, ferment-labeler and ferment-trainer lie.
  std::filesystem::path programs;
  std::uint32_t labelers = 1;
  /// Of each labeler.
  std::uint32_t threads = 1;
  /// cpu or cuda, where each has the next GPU.
  std::string labeler_device = "cpu";
  /// Restarts of one process within one phase, after which the run is given up.
  int max_restarts = 5;
  std::chrono::milliseconds first_pause{200};
  std::chrono::milliseconds longest_pause{5'000};
  /// How long a coordinator may take until it serves.
  std::chrono::milliseconds start_timeout{30'000};
};

/// Starts, restarts and ends the children of one run. Each has its own process group, its output in logs/, and a
/// record under processes/.
///
/// Thread: one. The destructor kills what is left.
class Fleet {
 public:
  Fleet(RunLayout layout, FleetConfig config, const Clock& clock, std::function<void(const std::string&)> note);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  /// Starts the coordinator, waits until it serves, starts the labelers. `interrupted` is asked while waiting.
  /// Errors: NotFound with exit code 69 (a program is missing), the coordinator's own exit code with the last line of
  /// its log, Cancelled (interrupted).
  Status Start(const std::function<bool()>& interrupted);
  /// Starts dead ones again once their pause is over. Call a few times a second, with the phase that runs now.
  /// Errors: of a process that died too often or with an exit code that a restart cannot cure.
  Status Tend(const std::string& phase);
  /// TERM to the labelers, which hand their leases back, then to the coordinator, which lets trainers save a
  /// checkpoint; what is left after that is killed. `hurry` ends the waiting.
  void Drain(const std::function<bool()>& hurry);
  /// Kills everything at once, trainers included.
  void Kill();

  /// HOST:PORT, once started.
  const std::string& address() const { return address_; }
  const std::string& admin_address() const { return admin_address_; }

 private:
  struct Member {
    std::string role;
    std::string name;
    std::vector<std::string> argv;
    std::filesystem::path log;
    std::optional<event::ChildProcess> process;
    event::ProcessRecord record;
    int restarts = 0;
    Backoff backoff;
    std::optional<MonotonicTime> start_again;
  };

  Member MakeMember(std::string role, std::string name, std::vector<std::string> argv) const;
  Status StartMember(Member& member);
  Status TendMember(Member& member);
  Status AwaitCoordinator(const std::function<bool()>& interrupted);
  bool ReadAddressFile();
  Status DeathOf(const Member& member, int exit_code) const;
  void EndMember(Member& member, std::chrono::milliseconds grace, const std::function<bool()>& hurry);
  std::filesystem::path AddressFile() const { return layout_.root() / "coordinator.json"; }

  const RunLayout layout_;
  const FleetConfig config_;
  const Clock& clock_;
  const std::function<void(const std::string&)> note_;
  std::string address_;
  std::string admin_address_;
  std::string phase_;
  /// Starts under Slurm that were here before: of a run that may be somebody else's.
  const std::vector<std::string> former_;
  // The coordinator first.
  std::vector<Member> members_;
};

}  // namespace ferment::cli
