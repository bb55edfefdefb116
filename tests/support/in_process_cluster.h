// SPDX-License-Identifier: Apache-2.0
//
// A coordinator with its services on loopback, and labelers that do what a test tells them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/metrics/prometheus_registry.h"
#include "common/rpc/grpc_channel.h"
#include "common/rpc/grpc_server.h"
#include "coordinator/rpc/lease_service.h"
#include "coordinator/rpc/request_door.h"
#include "coordinator/rpc/run_service.h"
#include "coordinator/rpc/trainer_service.h"
#include "coordinator/scheduler/scheduler.h"
#include "tests/support/engine_harness.h"

namespace ferment::testing {

/// TLS and who is let in; all null: everybody, without TLS. What it points to outlives the cluster.
struct ClusterSecurity {
  const rpc::ServerSecurity* security = nullptr;
  const rpc::AccessPolicy* policy = nullptr;
  rpc::CallSink on_call = {};
  std::chrono::milliseconds max_connection_age = std::chrono::hours(1);
};

/// One coordinator at a time, on one port and one log; the world (disk, jobs, data, time) outlives each of them.
class InProcessCluster {
 public:
  explicit InProcessCluster(ClusterSecurity security = {}) : security_(std::move(security)) { StartCoordinator(); }
  ~InProcessCluster() { StopCoordinator(); }
  InProcessCluster(const InProcessCluster&) = delete;
  InProcessCluster& operator=(const InProcessCluster&) = delete;

  void StartCoordinator();
  /// Without a drain, as a kill would.
  void StopCoordinator();

  EngineWorld& world() { return world_; }
  const std::string& address() const { return address_; }
  coordinator::Scheduler& scheduler() { return *coordinator_->scheduler; }
  coordinator::SchedulerMetrics& metrics() { return coordinator_->metrics; }
  std::string Exposition() const { return coordinator_->registry->Exposition(); }
  double Gauge(const std::string& name, const metrics::Labels& labels) const {
    return coordinator_->registry->MakeGauge(name, "", labels).Value();
  }
  /// What the store's failure was, if it failed.
  std::string store_failure() const;

 private:
  const rpc::Authenticator* authenticator() const {
    return security_.security == nullptr ? nullptr : &security_.security->authenticator;
  }
  struct Coordinator {
    explicit Coordinator(InProcessCluster& cluster);
    std::unique_ptr<metrics::MetricRegistry> registry;
    coordinator::SchedulerMetrics metrics;
    coordinator::RequestDoor door;
    std::unique_ptr<coordinator::Scheduler> scheduler;
    coordinator::RunServiceImpl runs;
    coordinator::LeaseServiceImpl leases;
    coordinator::TrainerServiceImpl trainers;
    std::unique_ptr<rpc::GrpcServer> server;
  };

  const ClusterSecurity security_;
  EngineWorld world_;
  std::string address_ = "127.0.0.1:0";
  mutable Mutex mutex_;
  std::string store_failure_ FERMENT_GUARDED_BY(mutex_);
  std::unique_ptr<Coordinator> coordinator_;
};

/// A lease as a test likes it.
struct ScriptedLease {
  v1::LeaseKey lease_key;
  v1::Lease lease;
  v1::JobWork job;

  const v1::LeaseKey& key() const { return lease_key; }
  std::uint64_t record_count() const { return lease.record_count(); }
};

ScriptedLease LeaseOf(const v1::LeaseShardsResponse& response, int number);

/// A labeler's side of the wire, one call a method.
class ScriptedLabeler {
 public:
  ScriptedLabeler(const std::string& address, std::string name, std::string incarnation = "1")
      : ScriptedLabeler(rpc::OpenChannel(address), std::move(name), std::move(incarnation)) {}
  ScriptedLabeler(std::shared_ptr<grpc::Channel> channel, std::string name, std::string incarnation = "1");

  const std::string& labeler_id() const { return labeler_id_; }
  /// As if it were another one.
  void Pretend(const std::string& labeler_id) { labeler_id_ = labeler_id; }

  Status Register();
  /// Returns: one lease. Errors: Unavailable where there is none now.
  Result<ScriptedLease> Lease();
  Status Renew(const v1::LeaseKey& key);
  Result<bool> Commit(const ScriptedLease& lease, const std::string& sha256);
  Result<bool> CommitFile(const ScriptedLease& lease, const std::string& file, const std::string& sha256);
  Status Return(const v1::LeaseKey& key);

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::LeaseService::Stub> stub_;
  std::string name_;
  std::string incarnation_;
  std::string labeler_id_;
};

}  // namespace ferment::testing
