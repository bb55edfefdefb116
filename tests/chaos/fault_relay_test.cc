// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/fault_relay.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ferment::chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
constexpr milliseconds kPatience{30'000};

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// One end of a connection. A value that is closed with the object.
class Socket {
 public:
  explicit Socket(int handle) : handle_(handle) {}
  ~Socket() { close(handle_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int handle() const { return handle_; }
  void Say(const std::string& text) const {
    ASSERT_EQ(send(handle_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  /// Returns: what comes within `patience`; "end" where the other side closed or reset, "" where nothing came.
  std::string Hear(milliseconds patience) const {
    pollfd waiting{handle_, POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return "";
    char bytes[64];
    const ssize_t count = recv(handle_, bytes, sizeof(bytes), 0);
    return count <= 0 ? "end" : std::string(bytes, static_cast<std::size_t>(count));
  }

 private:
  const int handle_;
};

class FaultRelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    ASSERT_EQ(bind(server_.handle(), reinterpret_cast<sockaddr*>(&address), size), 0);  // NOLINT
    ASSERT_EQ(listen(server_.handle(), 8), 0);
    ASSERT_EQ(getsockname(server_.handle(), reinterpret_cast<sockaddr*>(&address), &size), 0);  // NOLINT
    port_ = ntohs(address.sin_port);
    auto relay = FaultRelay::Start(loop_, [this] { return port_; });
    ASSERT_TRUE(relay) << relay.error().ToString();
    relay_ = std::move(*relay);
  }
  std::unique_ptr<Socket> Connect() const {
    const std::string address = relay_->address();
    auto client = std::make_unique<Socket>(socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in there = Loopback(static_cast<std::uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
    EXPECT_EQ(connect(client->handle(), reinterpret_cast<const sockaddr*>(&there), sizeof(there)), 0);  // NOLINT
    return client;
  }
  std::unique_ptr<Socket> Accept() const {
    return std::make_unique<Socket>(accept(server_.handle(), nullptr, nullptr));
  }

  Socket server_{socket(AF_INET, SOCK_STREAM, 0)};
  std::uint16_t port_ = 0;
  event::EventLoop loop_;
  std::unique_ptr<FaultRelay> relay_;
};

TEST_F(FaultRelayTest, PassesBytesOnBothWays) {
  const auto client = Connect();
  const auto served = Accept();
  client->Say("ping");
  EXPECT_EQ(served->Hear(kPatience), "ping");
  served->Say("pong");
  EXPECT_EQ(client->Hear(kPatience), "pong");
  EXPECT_EQ(relay_->connections(), 1U);
}

TEST_F(FaultRelayTest, DelaysWhatItPassesOn) {
  const auto client = Connect();
  const auto served = Accept();
  relay_->Set({.delay = milliseconds(200)});
  const auto begin = steady_clock::now();
  client->Say("ping");
  EXPECT_EQ(served->Hear(kPatience), "ping");
  EXPECT_GE(steady_clock::now() - begin, milliseconds(200));
}

TEST_F(FaultRelayTest, HoldsOneDirectionAndPassesItOnOnceTheFaultEnds) {
  const auto client = Connect();
  const auto served = Accept();
  relay_->Set({.hold_to_client = true});
  client->Say("ping");
  EXPECT_EQ(served->Hear(kPatience), "ping") << "the other direction is free";
  served->Say("pong");
  EXPECT_EQ(client->Hear(milliseconds(100)), "");
  relay_->Set({});
  EXPECT_EQ(client->Hear(kPatience), "pong");
}

TEST_F(FaultRelayTest, WhatIsHeldWhenConnectionsAreCutIsLost) {
  const auto client = Connect();
  const auto served = Accept();
  relay_->Set({.hold_to_server = true});
  client->Say("ping");
  EXPECT_EQ(served->Hear(milliseconds(100)), "");
  relay_->CutAll(CutKind::kReset);
  relay_->Set({});
  EXPECT_EQ(served->Hear(kPatience), "end");
  EXPECT_EQ(client->Hear(kPatience), "end");
}

TEST_F(FaultRelayTest, EndsConnectionsThatHaveNowhereToGo) {
  relay_->Set({.refuse = true});
  EXPECT_EQ(Connect()->Hear(kPatience), "end");
}

}  // namespace
}  // namespace ferment::chaos
