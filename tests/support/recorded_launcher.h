// SPDX-License-Identifier: Apache-2.0
//
// A launcher that starts nothing, remembers all it was asked, and answers as told.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "coordinator/launch/launcher.h"

namespace ferment::testing {

/// It outlives the coordinators that use it, as processes do. Thread: any.
class RecordedLauncher final : public coordinator::Launcher {
 public:
  Status Launch(const coordinator::LaunchRequest& request) override {
    const MutexLock lock(mutex_);
    if (!refuse_.ok()) return refuse_;
    if (states_.contains(Name(request.key))) return {};
    launched_.push_back(Name(request.key));
    states_[Name(request.key)] = {coordinator::LaunchState::Kind::kRunning, 0};
    return {};
  }
  coordinator::LaunchState Poll(const coordinator::LaunchKey& key, const std::filesystem::path&) override {
    const MutexLock lock(mutex_);
    const auto found = states_.find(Name(key));
    return found == states_.end() ? coordinator::LaunchState{} : found->second;
  }
  Status Signal(const coordinator::LaunchKey& key, const std::filesystem::path&, int signal) override {
    const MutexLock lock(mutex_);
    signals_.emplace_back(Name(key), signal);
    return {};
  }

  /// "<job>/<attempt>"
  void Exit(const std::string& name, int exit_code) {
    const MutexLock lock(mutex_);
    states_[name] = {coordinator::LaunchState::Kind::kExited, exit_code};
  }
  void Answer(const std::string& name, const coordinator::LaunchState& state) {
    const MutexLock lock(mutex_);
    states_[name] = state;
  }
  /// As after the machine went down.
  void Forget(const std::string& name) {
    const MutexLock lock(mutex_);
    states_.erase(name);
  }
  void Refuse(Status status) {
    const MutexLock lock(mutex_);
    refuse_ = std::move(status);
  }
  std::vector<std::string> launched() const {
    const MutexLock lock(mutex_);
    return launched_;
  }
  std::vector<std::pair<std::string, int>> signals() const {
    const MutexLock lock(mutex_);
    return signals_;
  }

 private:
  static std::string Name(const coordinator::LaunchKey& key) { return key.job_id + "/" + std::to_string(key.attempt); }

  mutable Mutex mutex_;
  std::map<std::string, coordinator::LaunchState> states_ FERMENT_GUARDED_BY(mutex_);
  std::vector<std::string> launched_ FERMENT_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, int>> signals_ FERMENT_GUARDED_BY(mutex_);
  Status refuse_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::testing
