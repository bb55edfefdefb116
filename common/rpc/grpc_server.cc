// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "common/rpc/listen_address.h"

namespace ferment::rpc {
namespace {

// Clients ping every 30 s even without calls; gRPC's default would answer that with GOAWAY too_many_pings.
constexpr int kMinPingIntervalMs = 10'000;

void Configure(grpc::ServerBuilder& builder, const GrpcServerConfig& config) {
  // Without this a second server on the same port would start and take half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, config.max_concurrent_streams);
  builder.SetMaxReceiveMessageSize(config.max_message_bytes);
  builder.SetMaxSendMessageSize(config.max_message_bytes);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, config.max_pollers);
}

}  // namespace

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerConfig& config,
                                                      std::span<grpc::Service* const> services) {
  FERMENT_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(config.listen));
  FERMENT_RETURN_IF_ERROR(RefuseOpenAddress(address, config.insecure));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  Configure(builder, config);
  int port = 0;
  builder.AddListeningPort(address.ToString(), grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return Fail(UnavailableError("cannot listen for gRPC: address=" + address.ToString() +
                                 "; another program has the port (see `ss -ltnp`), or the host is not one of this "
                                 "machine's; choose another, or port 0 for any free one")
                    .WithExitCode(exit_code::kMissingService));
  }
  address.port = static_cast<std::uint16_t>(port);
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(server), address.ToString()));
}

GrpcServer::GrpcServer(std::unique_ptr<grpc::Server> server, std::string address)
    : server_(std::move(server)), address_(std::move(address)) {
  SetServing(true);
}

GrpcServer::~GrpcServer() { Shutdown(std::chrono::milliseconds(0)); }

void GrpcServer::SetServing(bool serving) {
  if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus(serving);
}

void GrpcServer::Shutdown(std::chrono::milliseconds grace) {
  SetServing(false);
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
}

}  // namespace ferment::rpc
