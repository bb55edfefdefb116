// SPDX-License-Identifier: Apache-2.0
//
// One place in the cluster that a process fills: killed and it is started again, stopped and it goes on later.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/event/child_process.h"

namespace ferment::chaos {

using Instant = std::chrono::steady_clock::time_point;

struct ProcessRecipe {
  std::string name;
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env = {};
  std::filesystem::path output;
  /// A process that is found stopped though nobody here stopped it goes on after this; 0: it is left.
  std::chrono::milliseconds ends_own_stop{0};
};

/// Thread: one.
class ChaosProcess {
 public:
  explicit ChaosProcess(ProcessRecipe recipe) : recipe_(std::move(recipe)) {}

  /// Starts it if it has ended and its pause is over, and lets it go on where a stop is over.
  /// Returns: the exit code, once, where it has ended since the last call.
  std::optional<int> Tick(Instant now);
  /// The next start comes no sooner than this.
  void RestartAfter(Instant when) { start_at_ = when; }
  void Kill();
  void StopUntil(Instant when);
  /// Lets it go on now.
  void Continue();
  /// TERM; it is started again after it has left, as after every end.
  void TellToLeave(Instant now);
  /// Returns: since when it has been leaving; nothing where nobody told it to. Kept after its end until the next start.
  std::optional<Instant> leaving_since() const { return leaving_since_; }
  /// TERM, and no further start. Returns: the exit code; nothing where it did not leave in time.
  std::optional<int> Leave(std::chrono::milliseconds grace);

  bool running() const { return process_.has_value(); }
  bool stopped() const { return continue_at_.has_value(); }
  pid_t pid() const { return process_ ? process_->pid() : -1; }
  /// Of the one that runs or ran last.
  pid_t last_pid() const { return last_pid_; }
  std::uint64_t starts() const { return starts_; }
  /// When the one that runs was started.
  Instant started() const { return started_; }
  const std::string& name() const { return recipe_.name; }

 private:
  void Start();

  const ProcessRecipe recipe_;
  std::optional<event::ChildProcess> process_;
  std::optional<Instant> continue_at_;
  std::optional<Instant> leaving_since_;
  pid_t last_pid_ = -1;
  Instant start_at_{};
  Instant started_{};
  std::uint64_t starts_ = 0;
};

}  // namespace ferment::chaos
