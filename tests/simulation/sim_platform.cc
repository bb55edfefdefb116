// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_platform.h"

#include <signal.h>

#include <algorithm>
#include <utility>

namespace ferment::simulation {
namespace {

using coordinator::LaunchKey;
using coordinator::LaunchRequest;
using coordinator::LaunchState;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string NameOf(const LaunchKey& key) { return key.run_id + "/" + key.job_id + "/" + std::to_string(key.attempt); }

class SimLauncher final : public coordinator::Launcher {
 public:
  SimLauncher(SimPlatform& platform, std::uint64_t number) : platform_(platform), number_(number) {}
  Status Launch(const coordinator::LaunchRequest& request) override { return platform_.Launch(number_, request); }
  LaunchState Poll(const LaunchKey& key, const std::filesystem::path&) override { return platform_.Poll(number_, key); }
  Status Signal(const LaunchKey& key, const std::filesystem::path&, int signal) override {
    return platform_.Signal(key, signal);
  }

 private:
  SimPlatform& platform_;
  const std::uint64_t number_;
};

}  // namespace

std::unique_ptr<coordinator::Launcher> SimPlatform::MakeLauncher(std::uint64_t number) {
  return std::make_unique<SimLauncher>(*this, number);
}

std::uint64_t SimPlatform::Start(const LaunchRequest& request) {
  const LaunchKey& key = request.key;
  const std::uint64_t number = next_trainer_++;
  const std::string job = key.run_id + "/" + key.job_id;
  SimTime& left =
      work_left_.emplace(job, world_.Between(world_.plan.trainer_work / 4, world_.plan.trainer_work)).first->second;
  auto exited = [this, key, number](int exit_code) {
    const auto entry = entries_.find(NameOf(key));
    if (entry == entries_.end() || entry->second.trainer != number) return;
    entry->second.state = {LaunchState::Kind::kExited, exit_code};
    if (exit_code != exit_code::kFenced) world_.oracle.WatchedStartDied(key);
  };
  auto trainer =
      std::make_unique<SimTrainer>(SimTrainer::Parts{network_, key, request.run_dir.string(), number, left, exited});
  trainer->Begin();
  trainers_.emplace(number, std::move(trainer));
  return number;
}

Status SimPlatform::Launch(std::uint64_t parent, const LaunchRequest& request) {
  const LaunchKey& key = request.key;
  world_.oracle.Launched(key);
  const std::string name = NameOf(key);
  if (entries_.contains(name)) return {};
  const bool trouble = world_.Faulty() && world_.queue.now() < trouble_until_;
  if (world_.Faulty() && world_.Chance(trouble ? 0.5 : world_.plan.launch_fails)) {
    world_.history.Say("launcher fails " + name);
    return InternalError("the queue does not answer").WithExitCode(exit_code::kPeerLost);
  }
  Entry entry{parent, Start(request), {LaunchState::Kind::kRunning, 0}};
  world_.history.Say("launched " + name + " as trainer-" + std::to_string(entry.trainer));
  if (trouble && world_.Chance(0.3)) {
    trainers_.at(entry.trainer)->LoseTrace();
    throw ProcessDied{"between a start and its record"};
  }
  if (world_.Faulty() && world_.Chance(world_.plan.started_twice)) {
    world_.history.Say("the platform starts " + name + " twice");
    const std::uint64_t second = Start(request);
    const bool second_is_known = world_.Chance(0.5);
    trainers_.at(second_is_known ? entry.trainer : second)->LoseTrace();
    if (second_is_known) entry.trainer = second;
  }
  entries_.emplace(name, entry);
  return {};
}

LaunchState SimPlatform::Poll(std::uint64_t parent, const LaunchKey& key) {
  const auto entry = entries_.find(NameOf(key));
  if (entry == entries_.end()) return {};
  const bool knows = world_.plan.remembers_exits || entry->second.parent == parent;
  if (entry->second.state.kind == LaunchState::Kind::kExited && !knows) return {LaunchState::Kind::kUnknown, 0};
  return entry->second.state;
}

Status SimPlatform::Signal(const LaunchKey& key, int signal) {
  const auto entry = entries_.find(NameOf(key));
  if (entry == entries_.end() || entry->second.state.kind != LaunchState::Kind::kRunning) {
    return NotFoundError("no such job runs here");
  }
  world_.history.Say("signal " + std::to_string(signal) + " to " + NameOf(key));
  trainers_.at(entry->second.trainer)->Signal(signal);
  return {};
}

void SimPlatform::PowerLoss() {
  for (SimTrainer* trainer : Live()) {
    trainer->process().Kill();
    world_.oracle.TrainerGone(trainer->number());
  }
  // A queue of the cluster remembers its jobs as killed; the records of one machine name processes that are gone.
  for (auto& [name, entry] : entries_) {
    if (entry.state.kind != LaunchState::Kind::kRunning) continue;
    entry.state = {world_.plan.remembers_exits ? LaunchState::Kind::kExited : LaunchState::Kind::kUnknown,
                   exit_code::kKilled};
  }
}

std::vector<SimTrainer*> SimPlatform::Live() {
  std::vector<SimTrainer*> live;
  for (const auto& [number, trainer] : trainers_) {
    if (trainer->process().alive()) live.push_back(trainer.get());
  }
  return live;
}

}  // namespace ferment::simulation
