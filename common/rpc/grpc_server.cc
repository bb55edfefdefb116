// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>

#include "common/base/check.h"
#include "common/rpc/call_watch.h"
#include "common/rpc/credentials/tls_credentials.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/listen_address.h"
#include "common/rpc/lock_checks.h"
#include "common/rpc/reader_watch.h"

namespace ferment::rpc {
namespace {

// Clients ping every 30 s even without calls; gRPC's default would answer that with GOAWAY too_many_pings.
constexpr int kMinPingIntervalMs = 10'000;
// Pings past that rate that are let pass before the connection is ended.
constexpr int kPingStrikes = 2;
// A client that vanished without a word frees what it held after both.
constexpr int kPingMs = 30'000;
constexpr int kPingTimeoutMs = 10'000;
// Streams open themselves anew after ten minutes; whoever is slower is cut off.
constexpr int kAgeGraceMs = 11 * 60 * 1000;
// Names, a path and a token; gRPC's own default, said here because it is a limit against the hostile.
constexpr int kMaxMetadataBytes = 8 << 10;

int Milliseconds(std::chrono::milliseconds time) { return static_cast<int>(time.count()); }

void Configure(grpc::ServerBuilder& builder, const GrpcServerConfig& config) {
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, kPingStrikes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, config.max_concurrent_streams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(config.handshake_limit));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(config.max_connection_idle));
  if (config.security != nullptr) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(config.max_connection_age));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kAgeGraceMs);
  }
  grpc::ResourceQuota quota("ferment");
  quota.Resize(config.max_buffered_bytes).SetMaxThreads(config.max_threads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(config.max_request_bytes);
  builder.SetMaxSendMessageSize(config.max_response_bytes);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, config.max_pollers);
}

Result<std::shared_ptr<grpc::ServerCredentials>> CredentialsOf(const GrpcServerConfig& config) {
  if (config.security == nullptr) return grpc::InsecureServerCredentials();
  const ServerSecurity& security = *config.security;
  FERMENT_ASSIGN_OR_RETURN(auto credentials,
                           MakeServerCredentials(security.paths, security.authenticator.TakesTokens()));
  credentials->SetAuthMetadataProcessor(std::make_shared<CallGuard>(*config.policy, security.authenticator,
                                                                    config.on_call, SystemClock(), security.refusals));
  return credentials;
}

/// A program that is linked with gRPC's reflection gives it to every server.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

std::set<std::string> ServicesOf(const AccessPolicy* policy) {
  std::set<std::string> services;
  if (policy == nullptr) return services;
  for (const MethodAccess& method : policy->methods()) {
    if (!method.open) services.insert(method.path.substr(1, method.path.rfind('/') - 1));
  }
  return services;
}

void WatchCalls(grpc::ServerBuilder& builder, const GrpcServerConfig& config) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> watches;
  watches.push_back(MakeReaderWatch(config.unread_limit));
  if (config.policy != nullptr && config.on_call) {
    const Authenticator* authenticator = config.security == nullptr ? nullptr : &config.security->authenticator;
    watches.push_back(MakeCallWatch(*config.policy, authenticator, config.on_call));
  }
  builder.experimental().SetInterceptorCreators(std::move(watches));
}

}  // namespace

Result<std::unique_ptr<ServerSecurity>> ServerSecurity::Open(const CredentialPaths& paths,
                                                             const std::filesystem::path& tokens, const Clock& clock) {
  if (const auto usable = MakeServerCredentials(paths, !tokens.empty()); !usable) return Fail(usable.error());
  FERMENT_ASSIGN_OR_RETURN(const std::string certificate, ReadCredential(paths.certificate));
  auto trust = TrustDomainOf(certificate);
  if (!trust) return Fail(trust.error().With("file=" + paths.certificate.string()));
  std::unique_ptr<TokenFile> token_file;
  if (!tokens.empty()) {
    FERMENT_ASSIGN_OR_RETURN(token_file, TokenFile::Open(tokens));
  }
  std::unique_ptr<RevocationFile> revocations;
  if (!paths.revocations.empty()) {
    FERMENT_ASSIGN_OR_RETURN(revocations, RevocationFile::Open(paths, clock));
  }
  return std::unique_ptr<ServerSecurity>(new ServerSecurity{
      paths, Authenticator(std::move(*trust), std::move(token_file), std::move(revocations), clock)});
}

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerConfig& config,
                                                      std::span<grpc::Service* const> services) {
  FERMENT_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(config.listen));
  FERMENT_CHECK(config.security == nullptr || config.policy != nullptr) << "TLS without a policy";
  FERMENT_RETURN_IF_ERROR(RefuseOpenAddress(address, config.insecure || config.security != nullptr));
  FERMENT_ASSIGN_OR_RETURN(const auto credentials, CredentialsOf(config));
  EndLockChecks();
  LogWhatGrpcSays();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  Configure(builder, config);
  WatchCalls(builder, config);
  if (config.reflection) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  } else {
    builder.SetOption(std::make_unique<WithoutReflection>());
  }
  FERMENT_ASSIGN_OR_RETURN(auto gate, ConnectionGate::Open(address, config.connections, config.on_connections));
  using grpc::ServerBuilder;
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
      ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return Fail(InternalError("gRPC does not start: address=" + address.ToString()));
  address.port = gate->port();
  gate->Begin(std::move(acceptor));
  return std::unique_ptr<GrpcServer>(
      new GrpcServer(std::move(server), std::move(gate), address.ToString(), ServicesOf(config.policy)));
}

GrpcServer::GrpcServer(std::unique_ptr<grpc::Server> server, std::unique_ptr<ConnectionGate> gate, std::string address,
                       std::set<std::string> services)
    : server_(std::move(server)), gate_(std::move(gate)), address_(std::move(address)), services_(std::move(services)) {
  SetServing(true);
}

GrpcServer::~GrpcServer() { Shutdown(std::chrono::milliseconds(0)); }

void GrpcServer::SetServing(bool serving) {
  auto* health = server_->GetHealthCheckService();
  if (health == nullptr) return;
  health->SetServingStatus(serving);
  for (const std::string& service : services_) health->SetServingStatus(service, serving);
}

void GrpcServer::Shutdown(std::chrono::milliseconds grace) {
  SetServing(false);
  gate_->Close();
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
}

}  // namespace ferment::rpc
