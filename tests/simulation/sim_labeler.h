// SPDX-License-Identifier: Apache-2.0
//
// One labeler, as labeler_loop, lease_keeper and grpc_lease_client behave: two leases at most, renewed at a third.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/sim_network.h"

namespace ferment::simulation {

class SimLabeler {
 public:
  SimLabeler(SimNetwork& network, std::uint64_t number);

  const std::string& name() const { return name_; }
  SimProcess& process() { return process_; }
  void Boot();
  /// The process is gone; another boots a while later.
  void Crash(SimTime until_next);
  /// The next finished shard finds the process stopped between its file and its commit, for this long.
  void StopBeforeNextCommit(SimTime time) { stop_before_commit_ = time; }
  /// Returns: the leases whose shards it works on, or means to.
  std::vector<coordinator::LeaseKey> InHand() const;

 private:
  struct Held {
    coordinator::GrantedLease lease;
    bool lost = false;
    /// Failed, or handed back: said so, or tries to.
    bool given_up = false;
  };

  /// As GrpcLeaseClient: takes the name, from its holder if need be.
  void Register(const std::string& replaces);
  /// Asks for one lease, unless such a call is under way.
  void Take();
  void HandleTaken(const Result<coordinator::LeaseAnswer>& answer);
  void Renew(const coordinator::LeaseKey& key);
  void HandleRenewed(const coordinator::LeaseKey& key, const Status& renewed);
  void Work(const coordinator::LeaseKey& key);
  void Finish(const coordinator::LeaseKey& key);
  std::uint64_t RecordsDone(const coordinator::LeaseKey& key) const;
  coordinator::ShardResult Write(const coordinator::GrantedLease& lease);
  void Commit(const coordinator::LeaseKey& key, const coordinator::ShardResult& result);
  void GiveUp(const coordinator::LeaseKey& key, bool permanent);
  /// What a faulty machine makes of every shard.
  void FailOfTheMachine(const coordinator::LeaseKey& key);
  void DieOf(const coordinator::LeaseKey& key);
  void HandBack(const coordinator::LeaseKey& key);
  /// Somebody else may have it.
  void Leave(const coordinator::LeaseKey& key);
  void Next(const coordinator::LeaseKey& done);

  SimNetwork& network_;
  SimWorld& world_;
  const std::uint64_t number_;
  const std::string name_;
  SimProcess process_;
  std::uint64_t incarnation_ = 0;
  std::uint64_t takes_ = 0;
  std::string labeler_id_;
  std::map<coordinator::LeaseKey, Held> held_;
  std::optional<coordinator::LeaseKey> working_;
  std::optional<coordinator::LeaseKey> next_;
  /// Of the shard that it works on.
  SimTime began_{0};
  SimTime takes_so_long_{1};
  bool taking_ = false;
  SimTime stop_before_commit_{0};
};

}  // namespace ferment::simulation
