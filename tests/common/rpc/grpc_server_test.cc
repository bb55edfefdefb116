// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

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
