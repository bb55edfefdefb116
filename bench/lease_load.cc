// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <iostream>
#include <string>

#include "bench/load.h"
#include "common/rpc/grpc_channel.h"
#include "common/rpc/grpc_server.h"
#include "ferment/v1/lease_service.grpc.pb.h"

// Labelers' calls without the labeling, against a coordinator that has shards to give (lease_store makes its log).
namespace ferment::bench {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

struct Options {
  std::string address;
  std::string mode = "cycle";
  std::uint32_t batch = 1;
  LoadOptions load;
};

/// One client with a connection of its own.
class Client {
 public:
  Client(const Options& options, int number)
      : options_(options), leases_(v1::LeaseService::NewStub(OpenOwnChannel(options.address, number))) {
    if (options.mode == "empty") return;
    v1::RegisterLabelerRequest request;
    request.set_name("bench-" + std::to_string(number));
    request.set_incarnation(std::to_string(getpid()));
    while (labeler_id_.empty()) {
      const auto registered =
          rpc::CallUnary(*leases_, &v1::LeaseService::Stub::RegisterLabeler, request, {.retry_for = kPatience});
      if (!registered) throw std::runtime_error(registered.error().ToString());
      labeler_id_ = registered->labeler_id();
      request.set_replaces(registered->held_by());
    }
  }

  int Empty() {
    return rpc::CallUnary(*leases_, &v1::LeaseService::Stub::RenewLease, v1::RenewLeaseRequest()) ? 1 : -1;
  }

  int Lease() {
    auto answer = rpc::CallUnary(*leases_, &v1::LeaseService::Stub::LeaseShards, LeaseRequest());
    if (!answer || answer->leases().empty()) return -1;
    Hold(std::move(*answer));
    return held_.leases_size();
  }

  /// Commits what it holds and leases anew, as a labeler does.
  int Cycle() {
    if (held_.leases().empty() && Lease() < 0) return -1;
    auto answer = rpc::CallUnary(*leases_, &v1::LeaseService::Stub::CommitShard, CommitRequest(held_.leases(0)));
    if (!answer) return -1;
    Hold(std::move(*answer->mutable_next()));
    return 1;
  }

 private:
  /// Channels of equal arguments share a connection; real labelers do not.
  static std::shared_ptr<grpc::Channel> OpenOwnChannel(const std::string& address, int number) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("ferment.bench.client", number);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }

  v1::LeaseShardsRequest LeaseRequest() {
    v1::LeaseShardsRequest request;
    request.set_labeler_id(labeler_id_);
    request.set_max_leases(options_.batch);
    if (!known_run_.empty()) request.add_known_runs(known_run_);
    request.set_call(++calls_);
    return request;
  }

  void Hold(v1::LeaseShardsResponse answer) {
    held_ = std::move(answer);
    if (!held_.specs().empty()) known_run_ = held_.specs().begin()->first;
  }

  v1::CommitShardRequest CommitRequest(const v1::Lease& lease) {
    const v1::JobWork& work = held_.works(static_cast<int>(lease.work()));
    v1::CommitShardRequest request;
    request.set_request_id(labeler_id_ + "/" + std::to_string(lease.shard()));
    request.set_labeler_id(labeler_id_);
    request.mutable_key()->set_run_id(work.run_id());
    request.mutable_key()->set_job_id(work.job_id());
    request.mutable_key()->set_shard(lease.shard());
    request.mutable_key()->set_epoch(lease.epoch());
    const std::uint64_t records = lease.record_count();
    request.mutable_counts()->set_read(records);
    request.mutable_counts()->set_labelled(records);
    for (int i = 0; i < 8; ++i) request.mutable_counts()->add_class_histogram(records / 8);
    v1::ResultFile& file = *request.add_files();
    // One file stands for all: its size is looked at, its bytes are the labelers' affair.
    file.set_file(work.label().output_dir() + "/shard.npz");
    file.set_sha256(std::string(58, 'a') + std::to_string(100'000 + lease.shard() % 900'000));
    request.set_seconds(60);
    *request.mutable_next() = LeaseRequest();
    return request;
  }

  const Options& options_;
  std::unique_ptr<v1::LeaseService::Stub> leases_;
  std::string labeler_id_;
  std::string known_run_;
  std::uint64_t calls_ = 0;
  v1::LeaseShardsResponse held_;
};

/// Answers one call, and does nothing for it.
class EmptyService final : public v1::LeaseService::Service {
  grpc::Status RenewLease(grpc::ServerContext* /*context*/, const v1::RenewLeaseRequest* /*request*/,
                          v1::RenewLeaseResponse* /*response*/) override {
    return grpc::Status::OK;
  }
};

/// Serves until standard input ends: the ceiling for any service behind this gRPC.
int ServeEmpty() {
  EmptyService service;
  const std::array<grpc::Service*, 1> services = {&service};
  const auto server = rpc::GrpcServer::Start({.listen = "127.0.0.1:0"}, services);
  if (!server) return 1;
  std::cout << (*server)->address() << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) continue;
  return 0;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Plays labelers that label nothing, and prints what the coordinator bore.", "lease_load");
  app.add_option("--address", options.address, "The server's HOST:PORT");
  app.add_option("--mode", options.mode)
      ->check(CLI::IsMember({"cycle", "lease", "empty", "serve"}))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Leases a call of mode lease")->capture_default_str();
  app.add_option("--clients", options.load.clients)->capture_default_str();
  app.add_option("--seconds", options.load.seconds)->capture_default_str();
  app.add_option("--rate", options.load.rate, "Calls a second of all; 0: as fast as answered")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (options.mode == "serve") return ServeEmpty();
  const Load load = RunLoad(options.load, [&](int number) -> LoadCall {
    auto client = std::make_shared<Client>(options, number);
    if (options.mode == "empty") return [client] { return client->Empty(); };
    if (options.mode == "lease") return [client] { return client->Lease(); };
    return [client] { return client->Cycle(); };
  });
  Say(load);
  return 0;
}

}  // namespace
}  // namespace ferment::bench

int main(int argc, char** argv) { return ferment::bench::Main(argc, argv); }
