// SPDX-License-Identifier: Apache-2.0
#include "common/event/admin_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

namespace ferment::event {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::uint16_t PortOf(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

int Connect(const std::string& address) {
  const int socket_handle = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(PortOf(address));
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_handle, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0) return -1;
  return socket_handle;
}

/// Returns: everything until the server closes.
std::string ReadAll(int socket_handle) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(socket_handle, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  return text;
}

std::string Exchange(const std::string& address, const std::string& request) {
  const int socket_handle = Connect(address);
  EXPECT_GE(socket_handle, 0);
  EXPECT_EQ(write(socket_handle, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string reply = ReadAll(socket_handle);
  close(socket_handle);
  return reply;
}

std::string Ask(const std::string& address, const std::string& method, const std::string& target) {
  return Exchange(address, method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

class AdminServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto started = AdminServer::Start(
        loop_, {.max_connections = 2, .timeout = std::chrono::milliseconds(200)},
        {{"/", [](const HttpRequest&) { return HttpReply{.body = "home"}; }},
         {"/echo",
          [](const HttpRequest& request) { return HttpReply{.content_type = "text/x", .body = request.query}; }},
         {"/runs/*", [](const HttpRequest& request) { return HttpReply{.body = "below " + request.path}; }},
         {"/throws", [](const HttpRequest&) -> HttpReply { throw std::runtime_error("no"); }}});
    ASSERT_TRUE(started) << started.error().message();
    server_ = std::move(*started);
  }
  void TearDown() override { loop_.Stop(); }

  EventLoop loop_;
  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminServerTest, AnswersItsPaths) {
  const std::string home = Ask(server_->address(), "GET", "/");
  EXPECT_THAT(home, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(home, HasSubstr("\r\n\r\nhome"));
  const std::string echo = Ask(server_->address(), "GET", "/echo?a=1&b");
  EXPECT_THAT(echo, HasSubstr("text/x"));
  EXPECT_THAT(echo, HasSubstr("\r\n\r\na=1&b"));
  EXPECT_THAT(Ask(server_->address(), "GET", "/runs/a/b"), HasSubstr("below /runs/a/b"));
}

TEST_F(AdminServerTest, AnswersHeadWithoutABody) {
  const std::string reply = Ask(server_->address(), "HEAD", "/");
  EXPECT_THAT(reply, HasSubstr("Content-Length: 4"));
  EXPECT_THAT(reply, testing::EndsWith("\r\n\r\n"));
}

TEST_F(AdminServerTest, RefusesOtherPathsAndMethods) {
  EXPECT_THAT(Ask(server_->address(), "GET", "/none"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask(server_->address(), "DELETE", "/"), StartsWith("HTTP/1.1 405"));
}

TEST_F(AdminServerTest, SurvivesAHandlerThatThrows) {
  EXPECT_THAT(Ask(server_->address(), "GET", "/throws"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(Ask(server_->address(), "GET", "/"), HasSubstr("home"));
}

TEST_F(AdminServerTest, ServesTwoRequestsOfOneConnection) {
  const std::string both =
      Exchange(server_->address(),
               "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /echo?second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(both, HasSubstr("home"));
  EXPECT_THAT(both, HasSubstr("second"));
}

TEST_F(AdminServerTest, ClosesOnGarbageOversizeAndSilence) {
  EXPECT_EQ(Exchange(server_->address(), "\x16\x03\x01 not http\r\n\r\n"), "");
  EXPECT_EQ(Exchange(server_->address(), "GET /" + std::string(64 << 10, 'a')), "");
  const int silent = Connect(server_->address());
  EXPECT_EQ(ReadAll(silent), "");
  close(silent);
  EXPECT_THAT(Ask(server_->address(), "GET", "/"), HasSubstr("home"));
}

TEST_F(AdminServerTest, GivesARequestNoMoreTimeThoughItComesLetterByLetter) {
  const int slow = Connect(server_->address());
  int sent = 0;
  // Ends with the connection; a thousand letters take five seconds.
  for (; sent < 1'000 && send(slow, "a", 1, MSG_NOSIGNAL) == 1; ++sent) usleep(5'000);
  EXPECT_LT(sent, 1'000);
  close(slow);
}

TEST_F(AdminServerTest, MakesRoomForANewConnectionByClosingTheOldest) {
  std::vector<int> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(Connect(server_->address()));
  EXPECT_THAT(Ask(server_->address(), "GET", "/"), HasSubstr("home"));
  EXPECT_EQ(ReadAll(silent.front()), "");
  for (const int socket_handle : silent) close(socket_handle);
}

TEST_F(AdminServerTest, SaysWhichPortIsBound) {
  const auto second = AdminServer::Start(loop_, {.port = PortOf(server_->address())}, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(ProcessExitCode(second.error()), exit_code::kMissingService);
  EXPECT_THAT(std::string(second.error().message()), HasSubstr(server_->address()));
}

TEST_F(AdminServerTest, RefusesAHostThatIsNoAddress) {
  const auto server = AdminServer::Start(loop_, {.host = "not an address"}, {});
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ferment::event
