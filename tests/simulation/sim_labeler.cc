// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_labeler.h"

#include <algorithm>
#include <memory>

namespace ferment::simulation {
namespace {

using coordinator::GrantedLease;
using coordinator::LeaseAnswer;
using coordinator::LeaseKey;
using coordinator::Registration;
using coordinator::RunEngine;
using coordinator::ShardFailure;
using coordinator::ShardResult;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// As LabelerLoop's.
constexpr milliseconds kLongestPause{2'000};

std::string ShortName(const LeaseKey& key) {
  return key.job_id + "/" + std::to_string(key.shard) + "@" + std::to_string(key.epoch);
}

std::string RequestId(const LeaseKey& key, const char* what) {
  return std::string(what) + "/" + key.run_id + "/" + ShortName(key);
}

}  // namespace

SimLabeler::SimLabeler(SimNetwork& network, std::uint64_t number)
    : network_(network),
      world_(network.world()),
      number_(number),
      name_("labeler-" + std::to_string(number)),
      process_(world_.queue, world_.ClockRate()) {}

void SimLabeler::Boot() {
  process_.Start();
  ++incarnation_;
  labeler_id_.clear();
  held_.clear();
  working_.reset();
  next_.reset();
  taking_ = false;
  if (world_.Faulty() && world_.Chance(world_.plan.dies_young)) {
    process_.After(world_.Between(SimTime(0), seconds(10)),
                   [this] { Crash(world_.Between(milliseconds(200), seconds(2))); });
  }
  Register("");
}

std::vector<LeaseKey> SimLabeler::InHand() const {
  std::vector<LeaseKey> keys;
  if (!process_.alive()) return keys;
  for (const auto& [key, held] : held_) {
    if (!held.lost && !held.given_up) keys.push_back(key);
  }
  return keys;
}

void SimLabeler::Crash(SimTime until_next) {
  if (!process_.alive()) return;
  world_.history.Say(name_ + " is killed");
  process_.Kill();
  world_.oracle.LabelerGone(name_);
  for (const auto& [key, held] : held_) world_.outage.Left(key);
  world_.suspects.Killed(name_ + "/" + std::to_string(incarnation_));
  world_.queue.After(until_next, [this] { Boot(); });
}

void SimLabeler::Register(const std::string& replaces) {
  const coordinator::LabelerIdentity identity{name_, std::to_string(incarnation_), "avx2", replaces,
                                              world_.plan.HostOf(number_)};
  auto serve = Asks<Result<Registration>>(
      {[identity](RunEngine& engine) { return engine.labelers().Register(identity); }, nullptr, std::nullopt, false});
  auto done = [this](const Result<Registration>& answer) {
    if (!answer) return Crash(seconds(1));
    if (answer->held_by.empty()) {
      labeler_id_ = answer->labeler_id;
      return Take();
    }
    if (labeler_id_.empty()) return Register(answer->held_by);
    world_.oracle.LabelerFenced(labeler_id_, answer->held_by);
  };
  Call<Result<Registration>>({network_, process_, name_, kLongPatience, serve, done});
}

void SimLabeler::Take() {
  // A call that was put off may come after another one was answered.
  if (next_ || std::exchange(taking_, true)) return;
  const coordinator::LeaseRequest request{labeler_id_, 1, ++takes_};
  auto seen = [this, request](const Moment& moment, const Result<LeaseAnswer>& answer) {
    if (!answer) return;
    for (const GrantedLease& lease : answer->leases) world_.oracle.Granted(moment, request, lease);
  };
  auto serve = Asks<Result<LeaseAnswer>>(
      {[request](RunEngine& engine) { return engine.leases().Lease(request); }, seen, std::nullopt, false});
  auto done = [this](const Result<LeaseAnswer>& answer) { HandleTaken(answer); };
  Call<Result<LeaseAnswer>>({network_, process_, name_, kLongPatience, serve, done});
}

void SimLabeler::HandleTaken(const Result<LeaseAnswer>& answer) {
  taking_ = false;
  if (!answer && answer.error().code() == StatusCode::kNotFound) return Register("");
  if (answer && !answer->leases.empty()) {
    const GrantedLease& lease = answer->leases.front();
    held_[lease.key] = {lease, false, false};
    Renew(lease.key);
    if (working_) {
      next_ = lease.key;
    } else {
      Work(lease.key);
    }
    return;
  }
  if (!working_) process_.After(answer ? std::min(answer->retry_after, kLongestPause) : seconds(1), [this] { Take(); });
}

void SimLabeler::Renew(const LeaseKey& key) {
  const auto held = held_.find(key);
  if (held == held_.end() || held->second.lost) return;
  process_.After(held->second.lease.lease_time / 3, [this, key] {
    const auto still = held_.find(key);
    if (still == held_.end() || still->second.lost) return;
    auto seen = [this, key](const Moment& moment, const Result<milliseconds>& time) {
      world_.oracle.Renewed(moment, key, StatusIn(time));
    };
    auto serve = Asks<Result<milliseconds>>(
        {[key, done = RecordsDone(key)](RunEngine& engine) { return engine.leases().Renew(key, done); }, seen, key});
    auto done = [this, key](const Result<milliseconds>& time) { HandleRenewed(key, StatusIn(time)); };
    Call<Result<milliseconds>>({network_, process_, name_, {}, serve, done});
  });
}

void SimLabeler::HandleRenewed(const LeaseKey& key, const Status& renewed) {
  const auto kept = held_.find(key);
  if (kept == held_.end()) return;
  kept->second.lost = renewed.code() == StatusCode::kAborted || renewed.code() == StatusCode::kNotFound;
  if (kept->second.lost) world_.history.Say(name_ + " lost " + ShortName(key));
  Renew(key);
}

void SimLabeler::Work(const LeaseKey& key) {
  working_ = key;
  if (!next_) Take();
  if (world_.plan.OnFaultyMachine(number_)) {
    process_.After(world_.Between(milliseconds(1), milliseconds(200)), [this, key] { FailOfTheMachine(key); });
    return;
  }
  began_ = world_.queue.now();
  takes_so_long_ = world_.Between(world_.plan.shortest_work, world_.plan.longest_work);
  if (world_.plan.IsDeadly(key)) {
    const double share = world_.plan.deadly_at;
    return process_.After(std::chrono::duration_cast<SimTime>(share * takes_so_long_), [this, key] { DieOf(key); });
  }
  process_.After(takes_so_long_, [this, key] { Finish(key); });
}

void SimLabeler::DieOf(const LeaseKey& key) {
  if (held_.at(key).lost) return Next(key);
  world_.history.Say(name_ + " dies of " + ShortName(key));
  world_.suspects.Died(key);
  Crash(world_.Between(milliseconds(200), seconds(5)));
}

std::uint64_t SimLabeler::RecordsDone(const LeaseKey& key) const {
  if (working_ != key) return 0;
  const double share = std::chrono::duration<double>(world_.queue.now() - began_) / takes_so_long_;
  return static_cast<std::uint64_t>(std::min(share, 1.0) * static_cast<double>(world_.plan.shard_records));
}

void SimLabeler::FailOfTheMachine(const LeaseKey& key) {
  if (held_.at(key).lost) return Next(key);
  if (world_.Chance(world_.plan.machine_kills)) return Crash(world_.Between(milliseconds(200), seconds(2)));
  GiveUp(key, /*permanent=*/false);
}

void SimLabeler::Finish(const LeaseKey& key) {
  const Held held = held_.at(key);
  if (held.lost && !(world_.Faulty() && world_.Chance(world_.plan.stubborn))) return Next(key);
  const bool faulty = world_.Faulty();
  if (faulty && world_.Chance(world_.plan.hand_back)) return HandBack(key);
  if (faulty && world_.Chance(world_.plan.shard_fails)) return GiveUp(key, world_.Chance(0.05));
  const ShardResult result = Write(held.lease);
  const SimTime stop = std::exchange(stop_before_commit_, SimTime(0));
  if (stop > SimTime(0)) {
    world_.history.Say(name_ + " stops before it commits " + ShortName(key));
    // For longer than its lease may last.
    world_.outage.Left(key);
    process_.Stop();
    world_.queue.After(stop, [this, life = process_.handle()] { process_.Continue(); });
  }
  process_.After(milliseconds(1), [this, key, result] { Commit(key, result); });
}

ShardResult SimLabeler::Write(const GrantedLease& lease) {
  ShardResult result;
  result.request_id = RequestId(lease.key, "commit");
  result.labeler_id = labeler_id_;
  result.key = lease.key;
  const bool other = world_.Faulty() && world_.Chance(world_.plan.other_bytes);
  for (const coordinator::WorkModel& model : lease.job->work.models) {
    const std::string sha = "sha-" + lease.key.job_id + "-" + std::to_string(lease.key.shard) +
                            (other ? "-" + name_ + "-" + std::to_string(lease.key.epoch) : "");
    result.files.push_back({model.output_dir + "/" + sha + ".npz", sha});
    world_.files.Write(lease.job->run_dir + "/" + result.files.back().file);
  }
  if (lease.job->phase == coordinator::Phase::kLabel) {
    result.canaries = world_.Canaries(lease.job->run_dir, lease.job->work.models.at(0).digest);
  }
  result.counts.read = lease.shard.record_count;
  result.counts.quarantined = lease.shard.record_count / 20;
  result.counts.abstained = lease.shard.record_count / 3;
  result.counts.labelled = result.counts.read - result.counts.quarantined - result.counts.abstained;
  if (world_.Faulty() && world_.Chance(world_.plan.miscount)) ++result.counts.labelled;
  return result;
}

void SimLabeler::Commit(const LeaseKey& key, const ShardResult& result) {
  world_.history.Say(name_ + " commits " + ShortName(key));
  world_.oracle.LeaseLeft(key);
  auto seen = [this, result](const Moment& moment, const Result<bool>& duplicate) {
    world_.oracle.Committed(moment, result, duplicate);
  };
  const SimCoordinator::Question<Result<bool>> commit{
      [result](RunEngine& engine) { return engine.leases().Commit(result); }, seen, key};
  const SimCoordinator::Question<Result<std::string>> folder{[key](RunEngine& engine) -> Result<std::string> {
    const coordinator::Run* run = engine.book().FindRun(key.run_id);
    if (run == nullptr) return Fail(AbortedError("no such run"));
    return run->run_dir;
  }};
  // As Scheduler::Commit: a look at the files between two requests.
  auto serve = [this, result, commit, folder](SimCoordinator& coordinator,
                                              const std::function<void(Result<bool>)>& answer) {
    coordinator.Ask<Result<std::string>>(
        folder, [this, &coordinator, result, commit, answer](const Result<std::string>& run_dir) {
          if (!run_dir) return answer(Fail(run_dir.error()));
          for (const coordinator::ResultFile& file : result.files) {
            if (!world_.files.FileSize(*run_dir + "/" + file.file)) return answer(Fail(DataLossError("no file")));
          }
          coordinator.Ask<Result<bool>>(commit, answer);
        });
  };
  auto done = [this, key](const Result<bool>& duplicate) {
    const StatusCode code = StatusIn(duplicate).code();
    world_.history.Say(name_ + " committed " + ShortName(key) + ": " + std::string(StatusCodeName(code)));
    if (code == StatusCode::kOk || code == StatusCode::kAborted || code == StatusCode::kNotFound) return Next(key);
    Crash(seconds(1));
  };
  Call<Result<bool>>({network_, process_, name_, kLongPatience, serve, done});
}

void SimLabeler::GiveUp(const LeaseKey& key, bool permanent) {
  const ShardFailure failure{
      RequestId(key, "fail"), labeler_id_, key, {"unreadable", exit_code::kBadData}, permanent, {}};
  world_.history.Say(name_ + " gives up " + ShortName(key));
  Leave(key);
  auto seen = [this, failure](const Moment& moment, const Status& taken) {
    world_.oracle.ShardGivenUp(moment, failure, taken);
  };
  auto serve = Asks<Status>({[failure](RunEngine& engine) { return engine.leases().FailShard(failure); }, seen, key});
  Call<Status>({network_, process_, name_, kLongPatience, serve, [this, key](const Status&) { Next(key); }});
}

void SimLabeler::Leave(const LeaseKey& key) {
  held_.at(key).given_up = true;
  world_.oracle.LeaseLeft(key);
  world_.outage.Left(key);
}

void SimLabeler::HandBack(const LeaseKey& key) {
  Leave(key);
  auto serve = Asks<Status>({[key](RunEngine& engine) { return engine.leases().Return(key); }});
  Call<Status>({network_, process_, name_, {}, serve, [this, key](const Status&) { Next(key); }});
}

void SimLabeler::Next(const LeaseKey& done) {
  held_.erase(done);
  working_.reset();
  if (next_) {
    const LeaseKey key = *std::exchange(next_, std::nullopt);
    Work(key);
  } else {
    Take();
  }
}

}  // namespace ferment::simulation
