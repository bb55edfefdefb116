// SPDX-License-Identifier: Apache-2.0
//
// Somebody with a terminal: submits a run with the ferment command, cancels it, submits it again, waits for its end.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/chaos_cluster.h"

namespace ferment::chaos {

enum class Wish { kSubmit, kCancel, kWaitForCommits, kWaitForEnd };

/// Each wish is tried until it is granted; every try is in the history. Thread: one.
class Person {
 public:
  /// `spec` is a file; the run's folder is `run_dir`.
  Person(ChaosCluster& cluster, std::string spec, std::string run_dir, std::deque<Wish> wishes,
         std::chrono::milliseconds pause = std::chrono::milliseconds(300));

  void Tick(Instant now);
  bool done() const { return wishes_.empty(); }
  const std::string& run_dir() const { return run_dir_; }
  const std::string& run_id() const { return run_id_; }
  /// What was told last: running, succeeded, failed or cancelled.
  const std::string& state() const { return state_; }
  /// Of a run that failed, why.
  const std::string& failure() const { return failure_; }

 private:
  std::vector<std::string> Command() const;
  void Begin(Instant now);
  void Finish(int code, Instant now);
  void Looked(const std::string& output);
  void Say(const std::string& outcome, const std::string& note);
  void Granted(Instant now);

  ChaosCluster& cluster_;
  const std::string spec_;
  const std::string run_dir_;
  std::deque<Wish> wishes_;
  const std::chrono::milliseconds pause_;
  std::optional<event::ChildProcess> command_;
  Instant give_up_{};
  Instant next_{};
  std::string run_id_;
  std::string state_ = "running";
  std::string failure_;
  std::uint64_t committed_ = 0;
};

}  // namespace ferment::chaos
