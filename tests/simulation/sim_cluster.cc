// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_cluster.h"

#include <algorithm>
#include <utility>

namespace ferment::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// After the faults: a kill waits 45 s, a call is tried for 10 minutes, and the work itself takes its time: where all
/// labelers but one are faulty, a hundred shards of half a minute each.
constexpr SimTime kTimeToFinish = minutes(120);

}  // namespace

SimCluster::SimCluster(std::uint64_t seed, bool trace)
    : world_(seed, trace), network_(world_, [this] { return Reach(); }), platform_(network_) {
  for (std::uint64_t i = 0; i < world_.plan.labelers; ++i) {
    labelers_.push_back(std::make_unique<SimLabeler>(network_, i));
  }
  for (std::uint64_t i = 0; i < world_.plan.runs; ++i) users_.push_back(std::make_unique<SimUser>(network_, i));
}

Outcome SimCluster::Run() {
  world_.history.Say(world_.plan.Describe());
  StartCoordinatorAfter(SimTime(0));
  for (const auto& labeler : labelers_) {
    world_.queue.After(world_.Between(SimTime(0), seconds(5)), [&labeler] { labeler->Boot(); });
  }
  for (const auto& user : users_) user->Begin();
  PlanFault();
  world_.queue.At(world_.plan.fault_time, [this] { Heal(); });

  if (world_.plan.outage > SimTime(0)) world_.queue.At(world_.plan.outage_begin, [this] { BeginOutage(); });

  const SimTime end = world_.plan.fault_time + kTimeToFinish;
  while (!world_.history.violation() && !Finished() && world_.queue.now() < end && world_.queue.RunNext()) {
    buried_.clear();
  }
  if (!world_.history.violation()) {
    if (!Finished()) world_.history.Violate("live", "runs have not ended long after the last fault");
    if (SimCoordinator* latest = Latest()) {
      world_.oracle.Final(latest->book());
      world_.machines.Final(latest->book());
      world_.outage.Final();
    }
  }
  return {world_.history.violation(), world_.history.digest(), world_.history.lines(), world_.queue.now(),
          world_.history.last_lines()};
}

bool SimCluster::Finished() const {
  return !coordinators_.empty() &&
         std::all_of(users_.begin(), users_.end(), [](const auto& user) { return user->content(); });
}

void SimCluster::StartCoordinatorAfter(SimTime delay) {
  if (std::exchange(starting_, true)) return;
  world_.queue.After(delay, [this] { StartCoordinator(); });
}

void SimCluster::BeginOutage() {
  world_.history.Say("no coordinator from now on");
  std::vector<SimCoordinator*> all;
  for (const auto& one : coordinators_) all.push_back(one.get());
  for (SimCoordinator* one : all) one->Die("outage");
  std::vector<coordinator::LeaseKey> in_hand;
  for (const auto& labeler : labelers_) {
    for (const coordinator::LeaseKey& key : labeler->InHand()) {
      const ShardFacts* shard = world_.log.FindShard(key);
      if (shard != nullptr && shard->leased && shard->epoch == key.epoch) in_hand.push_back(key);
    }
  }
  world_.outage.Began(world_.plan.outage_begin + world_.plan.outage, in_hand);
  for (const SimTrainer* trainer : platform_.Live()) {
    const coordinator::LaunchKey& key = trainer->key();
    const JobFacts* job = world_.log.FindJob(key.run_id, key.job_id);
    const bool present = job != nullptr && job->attempt == key.attempt && job->token_of_attempt && !job->exited;
    if (present && trainer->Trains()) world_.outage.Trains(key.run_id, key.job_id, trainer->number());
  }
}

SimTime SimCluster::OutageLeft() const {
  const SimTime now = world_.queue.now();
  const SimTime end = world_.plan.outage_begin + world_.plan.outage;
  return now < world_.plan.outage_begin || now >= end ? SimTime(0) : end - now;
}

void SimCluster::StartCoordinator() {
  if (const SimTime left = OutageLeft(); left > SimTime(0)) {
    world_.queue.After(left, [this] { StartCoordinator(); });
    return;
  }
  starting_ = false;
  const std::uint64_t number = ++coordinator_number_;
  auto coordinator = std::make_unique<SimCoordinator>(
      SimCoordinator::Parts{world_, platform_.MakeLauncher(number), world_.ClockRate(),
                            [this] {
                              for (auto& one : coordinators_) {
                                if (!one->process().alive()) buried_.push_back(std::move(one));
                              }
                              std::erase(coordinators_, nullptr);
                              if (coordinators_.empty()) {
                                StartCoordinatorAfter(world_.Between(milliseconds(200), seconds(8)));
                              }
                            },
                            [this](SimCoordinator& one) { StopForAWhile(one, world_.Chance(0.7)); }});
  coordinators_.push_back(std::move(coordinator));
  coordinators_.back()->Start();
}

SimCoordinator* SimCluster::Latest() { return coordinators_.empty() ? nullptr : coordinators_.back().get(); }

SimCoordinator* SimCluster::Reach() {
  if (coordinators_.size() > 1 && world_.Chance(0.2)) return coordinators_.front().get();
  return Latest();
}

void SimCluster::PlanFault() {
  if (world_.plan.faults.empty()) return;
  world_.queue.After(world_.Between(SimTime(0), 2 * world_.plan.fault_pause), [this] {
    if (!world_.Faulty()) return;
    Break(world_.plan.faults[world_.random.Below(world_.plan.faults.size())]);
    PlanFault();
  });
}

void SimCluster::Break(Fault fault) {
  switch (fault) {
    case Fault::kKillCoordinator:
    case Fault::kPowerLoss:
    case Fault::kDrainCoordinator:
    case Fault::kStopCoordinator:
    case Fault::kSecondCoordinator:
    case Fault::kDieInSave:
    case Fault::kFailSync:
    case Fault::kSlowDisk:
      return BreakCoordinator(fault);
    default:
      return BreakAround(fault);
  }
}

void SimCluster::BreakCoordinator(Fault fault) {
  using Next = DiskTrouble::Next;
  if (fault == Fault::kDieInSave) {
    world_.trouble.next = world_.Chance(0.5) ? Next::kDieBeforeSync : Next::kDieAfterSync;
    return;
  }
  if (fault == Fault::kFailSync) {
    world_.trouble.next = world_.Chance(0.5) ? Next::kFailAndLose : Next::kFailAndKeep;
    return;
  }
  if (fault == Fault::kSlowDisk) {
    world_.trouble.latency = world_.Chance(0.5) ? SimTime(0) : world_.Between(milliseconds(10), seconds(2));
    return;
  }
  SimCoordinator* latest = Latest();
  if (latest == nullptr) return;
  switch (fault) {
    case Fault::kKillCoordinator:
      return latest->Die("kill -9");
    case Fault::kPowerLoss: {
      platform_.PowerLoss();
      std::vector<SimCoordinator*> all;
      for (const auto& one : coordinators_) all.push_back(one.get());
      for (SimCoordinator* one : all) one->Die("power cut");
      world_.disk.LosePower();
      return;
    }
    case Fault::kDrainCoordinator:
      return latest->Drain();
    default:
      break;
  }
  StopForAWhile(*latest, fault == Fault::kSecondCoordinator);
}

void SimCluster::StopForAWhile(SimCoordinator& coordinator, bool another_starts) {
  coordinator.process().Stop();
  world_.history.Say("coordinator term=" + std::to_string(coordinator.term()) + " is stopped");
  const SimTime time = world_.Between(milliseconds(100), 2 * world_.plan.lease);
  world_.queue.After(time, [this, number = coordinator.term()] {
    for (const auto& one : coordinators_) {
      if (one->term() == number) one->process().Continue();
    }
  });
  // The first wakes up fenced.
  if (another_starts && world_.plan.shared_store) StartCoordinatorAfter(time / 2);
}

void SimCluster::BreakAround(Fault fault) {
  SimLabeler& labeler = *labelers_[world_.random.Below(labelers_.size())];
  const std::vector<SimTrainer*> trainers = platform_.Live();
  SimTrainer* trainer = trainers.empty() ? nullptr : trainers[world_.random.Below(trainers.size())];
  const SimTime lease = world_.plan.lease;
  switch (fault) {
    case Fault::kKillLabeler:
      return labeler.Crash(world_.Between(milliseconds(500), seconds(20)));
    case Fault::kStopLabeler: {
      if (world_.Chance(0.5)) return labeler.StopBeforeNextCommit(world_.Between(lease, 5 * lease));
      world_.history.Say(labeler.name() + " is stopped");
      labeler.process().Stop();
      world_.queue.After(world_.Between(lease / 4, 4 * lease), [&labeler] { labeler.process().Continue(); });
      return;
    }
    case Fault::kPartition: {
      std::vector<std::string> cut;
      for (const auto& one : labelers_) {
        if (world_.Chance(0.4)) cut.push_back(one->name());
      }
      for (const SimTrainer* one : trainers) {
        if (world_.Chance(0.4)) cut.push_back(one->name());
      }
      for (const std::string& name : cut) network_.Cut(name);
      world_.queue.After(world_.Between(seconds(1), seconds(60)), [this, cut] {
        for (const std::string& name : cut) network_.Mend(name);
      });
      return;
    }
    case Fault::kNetworkStorm:
      return network_.StormUntil(world_.queue.now() + world_.Between(seconds(1), 2 * lease));
    case Fault::kKillTrainer:
      if (trainer != nullptr) trainer->Signal(9);
      return;
    case Fault::kStopTrainer:
      if (trainer == nullptr) return;
      trainer->process().Stop();
      world_.queue.After(world_.Between(seconds(1), seconds(60)),
                         [this, number = trainer->number()] { platform_.Continue(number); });
      return;
    case Fault::kLaunchTrouble:
      return platform_.SetTroubleUntil(world_.queue.now() + world_.Between(seconds(1), seconds(30)));
    default:
      break;
  }
  if (SimCoordinator* latest = Latest()) {
    latest->process().clock().JumpWall(world_.Between(seconds(0), minutes(120)) - minutes(60));
  }
}

void SimCluster::Heal() {
  world_.history.Say("faults end");
  world_.trouble = {};
  network_.MendAll();
  world_.files.EndFaults();
  for (const auto& labeler : labelers_) labeler->process().Continue();
  for (SimTrainer* trainer : platform_.Live()) trainer->process().Continue();
  for (const auto& coordinator : coordinators_) coordinator->process().Continue();
  while (coordinators_.size() > 1) coordinators_.front()->Die("it is not needed");
}

}  // namespace ferment::simulation
