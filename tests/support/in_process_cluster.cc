// SPDX-License-Identifier: Apache-2.0
#include "tests/support/in_process_cluster.h"

#include <array>
#include <utility>

#include "common/base/check.h"

namespace ferment::testing {
namespace {

using namespace std::chrono_literals;

/// Long enough for a coordinator that is being restarted.
const rpc::CallOptions kPatient{
    .deadline = 10s, .retry_for = 20s, .first_pause = 5ms, .longest_pause = 50ms, .stop = {}};

}  // namespace

InProcessCluster::Coordinator::Coordinator(InProcessCluster& cluster)
    : registry(metrics::MakePrometheusRegistry()),
      metrics(*registry),
      door(metrics.rejected_bytes),
      scheduler(std::make_unique<coordinator::Scheduler>(
          coordinator::Scheduler::Parts{std::make_unique<MemoryEventStore>(cluster.world_.log), cluster.world_.launcher,
                                        cluster.world_.run_files, cluster.world_.clock, metrics,
                                        [](const RunSpec&, const coordinator::Run& run, const coordinator::Job&) {
                                          return coordinator::LaunchRequest{{}, {"mpirun"}, {}, {}, {}, run.run_dir};
                                        },
                                        [&cluster](const Status& failure) {
                                          const MutexLock lock(cluster.mutex_);
                                          cluster.store_failure_ = failure.ToString();
                                        }},
          coordinator::SchedulerConfig{.tick = 5ms})),
      runs(*scheduler, door, cluster.authenticator()),
      leases(*scheduler, door, cluster.authenticator()),
      trainers(*scheduler, door, cluster.authenticator()) {}

void InProcessCluster::StartCoordinator() {
  coordinator_ = std::make_unique<Coordinator>(*this);
  const std::array<grpc::Service*, 3> services = {&coordinator_->runs, &coordinator_->leases, &coordinator_->trainers};
  auto server = rpc::GrpcServer::Start({.listen = address_,
                                        .max_connection_age = security_.max_connection_age,
                                        .security = security_.security,
                                        .policy = security_.policy,
                                        .on_call = security_.on_call},
                                       services);
  FERMENT_CHECK(server.has_value()) << server.error().ToString();
  coordinator_->server = std::move(*server);
  address_ = coordinator_->server->address();
  const Status started = coordinator_->scheduler->Start();
  FERMENT_CHECK(started.ok()) << started.ToString();
}

void InProcessCluster::StopCoordinator() {
  if (coordinator_ == nullptr) return;
  coordinator_->runs.EndStreams();
  coordinator_->scheduler->Stop();
  coordinator_->server->Shutdown(0ms);
  coordinator_.reset();
}

std::string InProcessCluster::store_failure() const {
  const MutexLock lock(mutex_);
  return store_failure_;
}

ScriptedLabeler::ScriptedLabeler(std::shared_ptr<grpc::Channel> channel, std::string name, std::string incarnation)
    : channel_(std::move(channel)),
      stub_(v1::LeaseService::NewStub(channel_)),
      name_(std::move(name)),
      incarnation_(std::move(incarnation)) {}

Status ScriptedLabeler::Register() {
  v1::RegisterLabelerRequest request;
  request.set_name(name_);
  request.set_incarnation(incarnation_);
  request.set_instruction_set("avx2");
  auto response = rpc::CallUnary(*stub_, &v1::LeaseService::Stub::RegisterLabeler, request, kPatient);
  if (response && !response->held_by().empty()) {
    request.set_replaces(response->held_by());
    response = rpc::CallUnary(*stub_, &v1::LeaseService::Stub::RegisterLabeler, request, kPatient);
  }
  if (!response) return response.error();
  labeler_id_ = response->labeler_id();
  return {};
}

ScriptedLease LeaseOf(const v1::LeaseShardsResponse& response, int number) {
  const v1::Lease& lease = response.leases(number);
  ScriptedLease held{{}, lease, response.works(static_cast<int>(lease.work()))};
  held.lease_key.set_run_id(held.job.run_id());
  held.lease_key.set_job_id(held.job.job_id());
  held.lease_key.set_shard(lease.shard());
  held.lease_key.set_epoch(lease.epoch());
  return held;
}

Result<ScriptedLease> ScriptedLabeler::Lease() {
  v1::LeaseShardsRequest request;
  request.set_labeler_id(labeler_id_);
  request.set_max_leases(1);
  FERMENT_ASSIGN_OR_RETURN(const auto response,
                           rpc::CallUnary(*stub_, &v1::LeaseService::Stub::LeaseShards, request, kPatient));
  if (response.leases().empty()) return Fail(UnavailableError(response.idle() ? "idle" : "nothing now"));
  return LeaseOf(response, 0);
}

Status ScriptedLabeler::Renew(const v1::LeaseKey& key) {
  v1::RenewLeaseRequest request;
  request.set_labeler_id(labeler_id_);
  *request.mutable_key() = key;
  const auto response = rpc::CallUnary(*stub_, &v1::LeaseService::Stub::RenewLease, request, kPatient);
  return response ? Status() : response.error();
}

Result<bool> ScriptedLabeler::Commit(const ScriptedLease& lease, const std::string& sha256) {
  return CommitFile(lease, "labels/x/" + sha256 + ".npz", sha256);
}

Result<bool> ScriptedLabeler::CommitFile(const ScriptedLease& lease, const std::string& file,
                                         const std::string& sha256) {
  v1::CommitShardRequest request;
  request.set_request_id(name_ + "-" + std::to_string(lease.key().shard()));
  request.set_labeler_id(labeler_id_);
  *request.mutable_key() = lease.key();
  request.add_files()->set_file(file);
  request.mutable_files(0)->set_sha256(sha256);
  request.mutable_counts()->set_read(lease.record_count());
  request.mutable_counts()->set_labelled(lease.record_count());
  FERMENT_ASSIGN_OR_RETURN(const auto response,
                           rpc::CallUnary(*stub_, &v1::LeaseService::Stub::CommitShard, request, kPatient));
  return response.duplicate();
}

Status ScriptedLabeler::Return(const v1::LeaseKey& key) {
  v1::ReturnLeaseRequest request;
  request.set_labeler_id(labeler_id_);
  *request.mutable_key() = key;
  const auto response = rpc::CallUnary(*stub_, &v1::LeaseService::Stub::ReturnLease, request, kPatient);
  return response ? Status() : response.error();
}

}  // namespace ferment::testing
