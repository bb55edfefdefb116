// SPDX-License-Identifier: Apache-2.0
#include "bench/load_client.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <utility>

#include "common/rpc/lock_checks.h"

namespace ferment::bench {

std::shared_ptr<grpc::Channel> OpenOwnChannel(const std::string& address, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("ferment.bench.client", number);
  rpc::EndLockChecks();  // as rpc::OpenChannel
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

LoadClient::LoadClient(const std::string& address, int number, rpc::CallOptions calls, std::uint32_t batch)
    : LoadClient(OpenOwnChannel(address, number), number, std::move(calls), batch) {}

LoadClient::LoadClient(const std::shared_ptr<grpc::Channel>& channel, int number, rpc::CallOptions calls,
                       std::uint32_t batch)
    : number_(number), calls_(std::move(calls)), batch_(batch), leases_(v1::LeaseService::NewStub(channel)) {}

Status LoadClient::Register() {
  v1::RegisterLabelerRequest request;
  request.set_name("bench-" + std::to_string(number_));
  request.set_incarnation(std::to_string(getpid()));
  request.set_instruction_set("avx2");
  while (labeler_id_.empty()) {
    const auto registered = rpc::CallUnary(*leases_, &v1::LeaseService::Stub::RegisterLabeler, request,
                                           {.retry_for = std::chrono::seconds(20)});
    if (!registered) return registered.error();
    labeler_id_ = registered->labeler_id();
    request.set_replaces(registered->held_by());
  }
  return {};
}

Status LoadClient::Lease() {
  auto answer = rpc::CallUnary(*leases_, &v1::LeaseService::Stub::LeaseShards, LeaseRequest(), calls_);
  if (!answer) return answer.error();
  if (answer->leases().empty()) return NotFoundError("no shard is left to lease");
  Hold(std::move(*answer));
  return {};
}

Status LoadClient::Cycle() {
  if (held_.leases().empty()) FERMENT_RETURN_IF_ERROR(Lease());
  const std::uint64_t shard = held_.leases(0).shard();
  auto answer = rpc::CallUnary(*leases_, &v1::LeaseService::Stub::CommitShard, CommitRequest(held_.leases(0)), calls_);
  if (!answer) return answer.error();
  committed_.push_back(shard);
  Hold(std::move(*answer->mutable_next()));
  return {};
}

Status LoadClient::Renew() {
  v1::RenewLeaseRequest request;
  request.set_labeler_id(labeler_id_);
  if (!held_.leases().empty()) FillKey(held_.leases(0), *request.mutable_key());
  const auto answer = rpc::CallUnary(*leases_, &v1::LeaseService::Stub::RenewLease, request, calls_);
  return answer ? Status() : answer.error();
}

v1::LeaseShardsRequest LoadClient::LeaseRequest() {
  v1::LeaseShardsRequest request;
  request.set_labeler_id(labeler_id_);
  request.set_max_leases(batch_);
  if (!known_run_.empty()) request.add_known_runs(known_run_);
  request.set_call(++lease_calls_);
  return request;
}

void LoadClient::Hold(v1::LeaseShardsResponse answer) {
  held_ = std::move(answer);
  if (!held_.specs().empty()) known_run_ = held_.specs().begin()->first;
}

void LoadClient::FillKey(const v1::Lease& lease, v1::LeaseKey& key) const {
  const v1::JobWork& work = held_.works(static_cast<int>(lease.work()));
  key.set_run_id(work.run_id());
  key.set_job_id(work.job_id());
  key.set_shard(lease.shard());
  key.set_epoch(lease.epoch());
}

v1::CommitShardRequest LoadClient::CommitRequest(const v1::Lease& lease) {
  v1::CommitShardRequest request;
  request.set_request_id(labeler_id_ + "/" + std::to_string(lease.shard()));
  request.set_labeler_id(labeler_id_);
  FillKey(lease, *request.mutable_key());
  const std::uint64_t records = lease.record_count();
  request.mutable_counts()->set_read(records);
  request.mutable_counts()->set_labelled(records);
  for (int i = 0; i < 8; ++i) request.mutable_counts()->add_class_histogram(records / 8);
  v1::ResultFile& file = *request.add_files();
  // One file stands for all: its size is looked at, its bytes are the labelers' affair.
  file.set_file(held_.works(static_cast<int>(lease.work())).label().output_dir() + "/shard.npz");
  file.set_sha256(std::string(58, 'a') + std::to_string(100'000 + lease.shard() % 900'000));
  request.set_seconds(60);
  *request.mutable_next() = LeaseRequest();
  return request;
}

}  // namespace ferment::bench
