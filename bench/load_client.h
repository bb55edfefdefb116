// SPDX-License-Identifier: Apache-2.0
//
// A labeler's calls without the labelling, over a connection of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/grpc_channel.h"
#include "ferment/v1/lease_service.grpc.pb.h"

namespace ferment::bench {

/// Returns: a channel that shares its connection with no other; channels of equal arguments do.
std::shared_ptr<grpc::Channel> OpenOwnChannel(const std::string& address, int number);

/// Thread: one at a time.
class LoadClient {
 public:
  LoadClient(const std::string& address, int number, rpc::CallOptions calls = {}, std::uint32_t batch = 1);
  LoadClient(const std::shared_ptr<grpc::Channel>& channel, int number, rpc::CallOptions calls = {},
             std::uint32_t batch = 1);

  Status Register();
  /// Takes up to `batch` leases.
  Status Lease();
  /// Hands in the first shard that it holds, and leases anew, as a labeler does; leases first where it holds none.
  Status Cycle();
  /// Of the first lease that it holds; an empty key where it holds none.
  Status Renew();

  const v1::LeaseShardsResponse& held() const { return held_; }
  /// Shards whose commits were acknowledged.
  const std::vector<std::uint64_t>& committed() const { return committed_; }

 private:
  v1::LeaseShardsRequest LeaseRequest();
  void Hold(v1::LeaseShardsResponse answer);
  void FillKey(const v1::Lease& lease, v1::LeaseKey& key) const;
  v1::CommitShardRequest CommitRequest(const v1::Lease& lease);

  const int number_;
  const rpc::CallOptions calls_;
  const std::uint32_t batch_;
  const std::unique_ptr<v1::LeaseService::Stub> leases_;
  std::string labeler_id_;
  std::string known_run_;
  std::uint64_t lease_calls_ = 0;
  v1::LeaseShardsResponse held_;
  std::vector<std::uint64_t> committed_;
};

}  // namespace ferment::bench
