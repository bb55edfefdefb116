// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <thread>
#include <vector>

#include "common/rpc/grpc_channel.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/listen_address.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::rpc {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

class KnowsNoRuns final : public v1::RunService::Service {
 public:
  grpc::Status GetRun(grpc::ServerContext*, const v1::GetRunRequest* request, v1::GetRunResponse*) override {
    return ToGrpc(NotFoundError("no such run: run=" + request->run_id()).WithExitCode(exit_code::kBadData));
  }
};

TEST(GrpcServer, TakesAFreePortAndServesOverIt) {
  KnowsNoRuns service;
  grpc::Service* services[] = {&service};
  auto server = GrpcServer::Start({}, services);
  ASSERT_TRUE(server) << server.error().message();
  EXPECT_THAT((*server)->address(), Not(EndsWith(":0")));
  const auto stub = v1::RunService::NewStub(OpenChannel((*server)->address()));
  v1::GetRunRequest request;
  request.set_run_id("r1");
  const auto response = CallUnary(*stub, &v1::RunService::Stub::GetRun, request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), StatusCode::kNotFound);
  EXPECT_EQ(response.error().message(), "no such run: run=r1");
  EXPECT_EQ(response.error().exit_code(), exit_code::kBadData);
  (*server)->Shutdown(std::chrono::seconds(1));
  EXPECT_EQ(CallUnary(*stub, &v1::RunService::Stub::GetRun, request).error().code(), StatusCode::kUnavailable);
}

TEST(GrpcServer, RefusesAPortThatIsTaken) {
  KnowsNoRuns service;
  KnowsNoRuns another;
  grpc::Service* services[] = {&service};
  grpc::Service* others[] = {&another};
  auto first = GrpcServer::Start({}, services);
  ASSERT_TRUE(first);
  const auto second = GrpcServer::Start({.listen = (*first)->address()}, others);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), StatusCode::kUnavailable);
  EXPECT_EQ(ProcessExitCode(second.error()), exit_code::kMissingService);
  EXPECT_THAT(std::string(second.error().message()), HasSubstr((*first)->address()));
}

/// Returns: a connection to it from this address of the machine.
int ConnectFrom(const char* from, const std::string& address) {
  const int handle = socket(AF_INET, SOCK_STREAM, 0);
  // The port is chosen by connect, which knows of those that still wait after a connection to the same server's port.
  const int yes = 1;
  EXPECT_EQ(setsockopt(handle, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes), 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  inet_pton(AF_INET, from, &here.sin_addr);
  EXPECT_EQ(bind(handle, reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(ParseListenAddress(address)->port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Who is turned away may be so before connect has returned.
  EXPECT_TRUE(connect(handle, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 || errno == ECONNRESET)
      << std::strerror(errno);
  return handle;
}

/// Returns: whether the server greets, as it does with whomever it lets in; else it has hung up.
bool IsGreeted(int handle) {
  char byte = 0;
  return recv(handle, &byte, 1, 0) == 1;
}

TEST(GrpcServer, LetsInNoMoreConnectionsThanItsLimitAndAnotherOnceOneIsGone) {
  KnowsNoRuns service;
  grpc::Service* services[] = {&service};
  const auto server = GrpcServer::Start({.connections = {.total = 3, .per_peer = 2}}, services);
  ASSERT_TRUE(server);
  const std::string& address = (*server)->address();
  const int first = ConnectFrom("127.0.0.1", address);
  const int second = ConnectFrom("127.0.0.1", address);
  EXPECT_TRUE(IsGreeted(first));
  EXPECT_TRUE(IsGreeted(second));
  const int of_the_same = ConnectFrom("127.0.0.1", address);
  EXPECT_FALSE(IsGreeted(of_the_same)) << "two of one peer";
  const int of_another = ConnectFrom("127.0.0.2", address);
  EXPECT_TRUE(IsGreeted(of_another));
  const int fourth = ConnectFrom("127.0.0.3", address);
  EXPECT_FALSE(IsGreeted(fourth)) << "three of all";
  for (const int handle : {first, second, of_the_same, of_another, fourth}) close(handle);
  const auto stub = v1::RunService::NewStub(OpenChannel(address));
  const auto answer =
      CallUnary(*stub, &v1::RunService::Stub::GetRun, v1::GetRunRequest(), {.retry_for = std::chrono::seconds(60)});
  EXPECT_EQ(answer.error().code(), StatusCode::kNotFound);
}

TEST(GrpcServer, TellsOfRefusedConnectionsWhileTheyKeepComing) {
  KnowsNoRuns service;
  grpc::Service* services[] = {&service};
  std::atomic<std::uint64_t> told{0};
  const auto server = GrpcServer::Start({.connections = {.total = 1, .per_peer = 1},
                                         .on_connections = [&](const auto& counts) { told = counts.refused_full; }},
                                        services);
  ASSERT_TRUE(server);
  const int first = ConnectFrom("127.0.0.1", (*server)->address());
  EXPECT_TRUE(IsGreeted(first));
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (told == 0 && std::chrono::steady_clock::now() < give_up) close(ConnectFrom("127.0.0.2", (*server)->address()));
  EXPECT_GT(told, 0U) << "only once the flood is over";
  close(first);
}

TEST(GrpcServer, ListensAgainAfterTheProcessHadNoFileDescriptorLeft) {
  KnowsNoRuns service;
  grpc::Service* services[] = {&service};
  const auto server = GrpcServer::Start({}, services);
  ASSERT_TRUE(server);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(ParseListenAddress((*server)->address())->port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<int> handles;
  for (int i = 0; i < 8; ++i) handles.push_back(socket(AF_INET, SOCK_STREAM, 0));
  rlimit former{};
  getrlimit(RLIMIT_NOFILE, &former);
  rlimit none = former;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  for (const int handle : handles) {
    EXPECT_EQ(connect(handle, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  pollfd first{handles[0], POLLIN, 0};
  EXPECT_EQ(poll(&first, 1, 300), 0) << "it can greet nobody";
  setrlimit(RLIMIT_NOFILE, &former);
  EXPECT_TRUE(IsGreeted(handles[0]));
  for (const int handle : handles) close(handle);
  const auto stub = v1::RunService::NewStub(OpenChannel((*server)->address()));
  const auto answer =
      CallUnary(*stub, &v1::RunService::Stub::GetRun, v1::GetRunRequest(), {.retry_for = std::chrono::seconds(60)});
  EXPECT_EQ(answer.error().code(), StatusCode::kNotFound);
}

/// Holds every call until it is told otherwise, and writes streams for as long as they are taken.
class Holds final : public v1::RunService::Service {
 public:
  grpc::Status GetRun(grpc::ServerContext*, const v1::GetRunRequest*, v1::GetRunResponse*) override {
    go_.get_future().wait();
    return grpc::Status::OK;
  }
  grpc::Status ListRuns(grpc::ServerContext*, const v1::ListRunsRequest*, v1::ListRunsResponse* response) override {
    response->add_runs()->set_name(std::string(1 << 20, 'x'));
    return grpc::Status::OK;
  }
  grpc::Status WatchRun(grpc::ServerContext*, const v1::WatchRunRequest*,
                        grpc::ServerWriter<v1::WatchRunResponse>* writer) override {
    v1::WatchRunResponse response;
    response.mutable_run()->set_name(std::string(10'000, 'x'));
    while (writer->Write(response)) continue;
    ended_.set_value();
    return grpc::Status::OK;
  }
  void Go() { go_.set_value(); }
  std::future<void> ended() { return ended_.get_future(); }

 private:
  std::promise<void> go_;
  std::promise<void> ended_;
};

TEST(GrpcServer, SaysWhenToComeBackWhereAllItsThreadsAreAtWork) {
  Holds service;
  grpc::Service* services[] = {&service};
  const auto server = GrpcServer::Start({.max_pollers = 1, .max_threads = 2}, services);
  ASSERT_TRUE(server);
  const auto stub = v1::RunService::NewStub(OpenChannel((*server)->address()));
  std::jthread held([&] {
    grpc::ClientContext context;
    v1::GetRunResponse response;
    stub->GetRun(&context, {}, &response);
  });
  grpc::Status refused;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (refused.ok() && std::chrono::steady_clock::now() < deadline) {
    grpc::ClientContext context;
    v1::ListRunsResponse response;
    refused = stub->ListRuns(&context, {}, &response);
  }
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << refused.error_message();
  EXPECT_TRUE(RetryDelayOf(refused).has_value());
  service.Go();
  held.join();
  EXPECT_TRUE(CallUnary(*stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest(),
                        {.retry_for = std::chrono::seconds(30)}));
}

TEST(GrpcServer, EndsAStreamThatNobodyReads) {
  Holds service;
  grpc::Service* services[] = {&service};
  const auto server = GrpcServer::Start({.unread_limit = std::chrono::milliseconds(200)}, services);
  ASSERT_TRUE(server);
  const auto stub = v1::RunService::NewStub(OpenChannel((*server)->address()));
  auto ended = service.ended();
  grpc::ClientContext context;
  const auto reader = stub->WatchRun(&context, {});
  EXPECT_EQ(ended.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  v1::WatchRunResponse response;
  while (reader->Read(&response)) continue;
  EXPECT_FALSE(reader->Finish().ok());
}

/// Connects, sends `greeting` and no more. Returns: whether the server ends the connection within ten seconds.
bool IsHungUpOn(const std::string& address, std::string_view greeting) {
  const int handle = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(ParseListenAddress(address)->port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(handle, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  EXPECT_EQ(send(handle, greeting.data(), greeting.size(), MSG_NOSIGNAL), static_cast<ssize_t>(greeting.size()));
  bool ended = false;
  char bytes[1024];
  for (pollfd one{handle, POLLIN, 0}; !ended && poll(&one, 1, 10'000) == 1;) {
    ended = recv(handle, bytes, sizeof bytes, 0) <= 0;
  }
  close(handle);
  return ended;
}

TEST(GrpcServer, HangsUpOnWhoeverDoesNotFinishTheGreeting) {
  KnowsNoRuns service;
  grpc::Service* services[] = {&service};
  const auto server = GrpcServer::Start({.handshake_limit = std::chrono::milliseconds(200)}, services);
  ASSERT_TRUE(server);
  EXPECT_TRUE(IsHungUpOn((*server)->address(), ""));
  EXPECT_TRUE(IsHungUpOn((*server)->address(), "PRI * HTTP/2.0\r\n"));
}

TEST(GrpcServer, DoesNotOpenToOtherMachinesByItself) {
  const auto server = GrpcServer::Start({.listen = "0.0.0.0:0"}, {});
  ASSERT_FALSE(server);
  EXPECT_EQ(ProcessExitCode(server.error()), exit_code::kNotAllowed);
}

}  // namespace
}  // namespace ferment::rpc
