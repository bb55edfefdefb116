// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <array>
#include <iostream>
#include <stdexcept>
#include <string>

#include "bench/load.h"
#include "bench/load_client.h"
#include "common/rpc/grpc_server.h"
#include "ferment/v1/lease_service.grpc.pb.h"

// Labelers' calls without the labeling, against a coordinator that has shards to give (lease_store makes its log).
namespace ferment::bench {
namespace {

struct Options {
  std::string address;
  std::string mode = "cycle";
  std::uint32_t batch = 1;
  LoadOptions load;
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
    auto client = std::make_shared<LoadClient>(options.address, number, rpc::CallOptions{}, options.batch);
    if (options.mode == "empty") return [client] { return client->Renew().ok() ? 1 : -1; };
    if (const Status status = client->Register(); !status.ok()) throw std::runtime_error(status.ToString());
    if (options.mode == "lease") return [client] { return client->Lease().ok() ? client->held().leases_size() : -1; };
    return [client] { return client->Cycle().ok() ? 1 : -1; };
  });
  Say(load);
  return 0;
}

}  // namespace
}  // namespace ferment::bench

int main(int argc, char** argv) { return ferment::bench::Main(argc, argv); }
