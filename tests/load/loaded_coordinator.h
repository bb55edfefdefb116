// SPDX-License-Identifier: Apache-2.0
//
// A real ferment-coordinator over a log with shards to give, and what it takes of the machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/event/child_process.h"
#include "tests/support/admin_question.h"
#include "tests/support/process_resources.h"

namespace ferment::load {

using testing::AskAdmin;
using testing::ConnectTo;
using testing::ProcessResources;

class LoadedCoordinator {
 public:
  /// Makes `folder` anew. Throws std::runtime_error where it does not start to serve within a minute.
  LoadedCoordinator(std::filesystem::path folder, std::uint64_t shards, std::vector<std::string> flags = {});
  ~LoadedCoordinator();
  LoadedCoordinator(const LoadedCoordinator&) = delete;
  LoadedCoordinator& operator=(const LoadedCoordinator&) = delete;

  const std::string& address() const { return address_; }
  const std::string& admin() const { return admin_; }
  bool IsAlive() { return !process_->Poll().has_value(); }
  ProcessResources Now() const;
  /// Returns: whether it comes to hold no more files and threads than `before` and a few, within `patience`.
  bool ComesDownTo(const ProcessResources& before, std::chrono::seconds patience) const;
  /// Returns: a metric of /metrics, with its labels as they stand there; nothing where the admin port does not answer.
  std::optional<double> Metric(const std::string& name) const;
  /// Returns: what it has logged.
  std::string Log() const;

  /// TERM. Returns: the exit code.
  int Leave();
  /// After Leave. Returns: the shards that have a result, by the log.
  std::set<std::uint64_t> CommittedShards() const;

 private:
  const std::filesystem::path folder_;
  std::optional<event::ChildProcess> process_;
  std::string address_;
  std::string admin_;
};

}  // namespace ferment::load
