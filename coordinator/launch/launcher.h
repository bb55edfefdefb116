// SPDX-License-Identifier: Apache-2.0
//
// The port through which trainer jobs are started, watched and told to stop, whatever runs them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ferment::coordinator {

/// Returns: a name that no run of another store has, though it may have the same id and, at another time, folder.
inline std::string OwnerName(const std::string& run_id, std::int64_t submitted_ms) {
  return run_id + "@" + std::to_string(submitted_ms);
}

/// Who starts a run's jobs: resources.launcher of its spec.
enum class LauncherKind { kLocal, kSlurm };

/// Names one start of one job; the object that a backend creates is named after it, so that it cannot exist twice.
struct LaunchKey {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  /// When the run was submitted.
  std::int64_t submitted_ms = 0;
  LauncherKind launcher = LauncherKind::kLocal;

  friend bool operator==(const LaunchKey&, const LaunchKey&) = default;
};

struct LaunchRequest {
  LaunchKey key;
  /// Absolute program first.
  std::vector<std::string> argv;
  /// What argv starts on every rank: looked for before the launch, since mpirun's own answer to its absence is a
  /// riddle.
  std::string rank_program;
  /// Added to the coordinator's own environment.
  std::vector<std::pair<std::string, std::string>> env;
  /// Receives standard output and error, appended.
  std::filesystem::path log_file;
  std::filesystem::path run_dir;
  /// What the ranks need of a machine that is not known yet; argv has it in its own words.
  std::uint32_t ranks = 1;
  std::uint32_t threads_per_rank = 1;
  bool gpus = false;
};

struct LaunchState {
  enum class Kind { kRunning, kExited, kUnknown };
  Kind kind = Kind::kUnknown;
  /// The shell's view of how it ended: 128 + signal when a signal killed it. Only with kExited.
  int exit_code = 0;
  /// It left because its platform asked it to, as at the end of its time: it has not failed. Only with kExited.
  bool asked = false;
  /// What it waits for, for a person; "": it does not wait. Only with kRunning.
  std::string wait = {};
  /// The run token of who wrote the job's folder last, where that process is certainly done with it; 0: nobody can
  /// know. Only with kUnknown.
  std::uint64_t ended_token = 0;
};

/// Thread: all calls of one kind come from one thread at a time. No call waits for the job.
class Launcher {
 public:
  virtual ~Launcher() = default;
  /// Starts the job, or sees to it that it is started once its platform answers: kRunning until then. A second call
  /// with the same key starts nothing and is OK.
  /// Errors: NotFound with exit code 69 where a needed program is missing; PermissionDenied; Internal.
  virtual Status Launch(const LaunchRequest& request) = 0;
  /// Returns: what became of it; kUnknown where no trace is left, such as after the machine went down, and kRunning
  /// while nobody can be asked. A job that a former coordinator process started is found by what Launch recorded in
  /// `run_dir`.
  virtual LaunchState Poll(const LaunchKey& key, const std::filesystem::path& run_dir) = 0;
  /// Sends a signal to what Launch started, its children included where `signal` is SIGKILL. NotFound: it is gone.
  virtual Status Signal(const LaunchKey& key, const std::filesystem::path& run_dir, int signal) = 0;
};

}  // namespace ferment::coordinator
