// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/json.h"
#include "common/event/child_process.h"
#include "common/rpc/grpc_channel.h"
#include "ferment/v1/run_service.grpc.pb.h"
#include "tests/support/test_certificates.h"

namespace ferment::testing {
namespace {

/// A coordinator in a process of its own: one in this process would tend our connections with its own threads.
class ReconnectTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (coordinator_) coordinator_->SignalGroup(SIGKILL);
    if (coordinator_) coordinator_->WaitFor(std::chrono::seconds(30));
  }
  /// On the port of the one before, if there was one. Returns: its address.
  std::string StartCoordinator() {
    const auto address_file = certificates_.folder() / "address.json";
    const std::string former = TextOf(address_file);
    auto started = event::ChildProcess::Start(
        {.argv = {FERMENT_BIN_DIR "/ferment-coordinator", "--store",
                  "sqlite:" + (certificates_.folder() / "ferment.db").string(), "--listen", "127.0.0.1:0", "--admin",
                  "127.0.0.1:0", "--address-file", address_file.string(), "--tls-dir", Folder("coordinator"),
                  "--trainer-tls-dir", Folder("trainer")},
         .output = certificates_.folder() / "coordinator.txt"});
    EXPECT_TRUE(started);
    coordinator_ = std::move(*started);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (TextOf(address_file) == former && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return ParseJson(TextOf(address_file)).value_or(Json::object()).value("grpc", "");
  }
  void KillCoordinator() {
    coordinator_->Signal(SIGKILL);
    ASSERT_EQ(coordinator_->WaitFor(std::chrono::seconds(30)), exit_code::kKilled);
  }
  std::string Folder(const std::string& name) const { return (certificates_.folder() / name).string(); }
  static std::string TextOf(const std::filesystem::path& file) {
    std::ifstream in(file);
    return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  TestCertificates certificates_{std::filesystem::path(::testing::TempDir()) / "reconnect"};
  std::optional<event::ChildProcess> coordinator_;
};

TEST_F(ReconnectTest, AClientWithACertificateFindsACoordinatorThatWasKilledAndCameBack) {
  (void)certificates_.Server();
  (void)certificates_.Client("trainer");
  const std::string address = StartCoordinator();
  const auto channel = rpc::OpenChannel(address, certificates_.Client("reader"));
  ASSERT_TRUE(channel);
  const auto stub = v1::RunService::NewStub(*channel);
  const auto list = [&](std::chrono::milliseconds patience) {
    const auto answer =
        rpc::CallUnary(*stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest(), {.retry_for = patience});
    return answer ? Status() : answer.error();
  };
  ASSERT_EQ(list(std::chrono::seconds(30)), Status());
  for (int round = 0; round < 3; ++round) {
    KillCoordinator();
    EXPECT_EQ(list({}).code(), StatusCode::kUnavailable);
    ASSERT_EQ(StartCoordinator(), address);
    EXPECT_EQ(list(std::chrono::seconds(30)), Status()) << "round=" << round;
  }
}

/// Speaks no TLS to a port, and waits until it is hung up on.
void SpeakPlainly(const std::string& address) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(connection, reinterpret_cast<sockaddr*>(&place), sizeof(place)), 0);  // NOLINT
  constexpr std::string_view kWords = "GET / HTTP/1.1\r\n\r\n";
  EXPECT_EQ(send(connection, kWords.data(), kWords.size(), MSG_NOSIGNAL), static_cast<ssize_t>(kWords.size()));
  std::array<char, 256> answer{};
  while (recv(connection, answer.data(), answer.size(), 0) > 0) continue;
  close(connection);
}

TEST_F(ReconnectTest, OfStrangersWhoSpeakNoTlsTheLogHasSomeAndInItsOwnForm) {
  (void)certificates_.Server();
  (void)certificates_.Client("trainer");
  const std::string address = StartCoordinator();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) SpeakPlainly(address);
  const auto spans = (std::chrono::steady_clock::now() - begin) / std::chrono::seconds(10) + 1;
  coordinator_->Signal(SIGTERM);
  EXPECT_EQ(coordinator_->WaitFor(std::chrono::seconds(30)), exit_code::kTerminated);
  std::istringstream log(TextOf(certificates_.folder() / "coordinator.txt"));
  int told = 0;
  for (std::string line; std::getline(log, line);) {
    const auto json = ParseJson(line);
    ASSERT_TRUE(json) << line;
    if (json->value("msg", "") == "grpc") ++told;
  }
  EXPECT_GT(told, 0);
  EXPECT_LE(told, 10 * spans);
}

/// Returns: what a process has used of a core so far.
std::chrono::milliseconds CpuOf(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string word;
  for (int i = 1; i <= 13; ++i) in >> word;
  long user = 0;
  long system = 0;
  in >> user >> system;
  return std::chrono::milliseconds((user + system) * 1'000 / sysconf(_SC_CLK_TCK));
}

/// Takes connections at a port where a coordinator was, and ends each at once.
int CountConnections(std::uint16_t port, std::chrono::seconds time) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);  // NOLINT
  EXPECT_EQ(listen(listener, 256), 0);
  int count = 0;
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, 50) != 1) continue;
    const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    ++count;
    close(connection);
  }
  close(listener);
  return count;
}

/// Decision 50: nobody is kept waiting so that others come first, and nobody hurries.
TEST_F(ReconnectTest, ManyClientsThatLostTheirCoordinatorAskSeldomAndAreAllServedByTheNext) {
  constexpr std::size_t kClients = 64;
  constexpr std::chrono::seconds kAway{5};
  (void)certificates_.Server();
  (void)certificates_.Client("trainer");
  const std::string address = StartCoordinator();
  const auto cpu_of_start = CpuOf(coordinator_->pid());
  // Credentials of its own give each a connection of its own.
  std::vector<std::unique_ptr<v1::RunService::Stub>> stubs;
  const auto list = [](v1::RunService::Stub& stub) {
    return rpc::CallUnary(stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest(),
                          {.retry_for = std::chrono::minutes(1)})
        .has_value();
  };
  for (std::size_t i = 0; i < kClients; ++i) {
    const auto channel = rpc::OpenChannel(address, certificates_.Client("reader"));
    ASSERT_TRUE(channel);
    stubs.push_back(v1::RunService::NewStub(*channel));
    ASSERT_TRUE(list(*stubs.back()));
  }
  const auto cpu_one_by_one = CpuOf(coordinator_->pid()) - cpu_of_start;
  KillCoordinator();
  using std::chrono::steady_clock;
  std::vector<steady_clock::time_point> served(kClients);
  std::vector<std::jthread> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      if (list(*stubs[i])) served[i] = steady_clock::now();
    });
  }
  const int attempts =
      CountConnections(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))), kAway);
  ASSERT_EQ(StartCoordinator(), address);
  clients.clear();
  const auto cpu_at_once = CpuOf(coordinator_->pid()) - cpu_of_start;
  const auto [first, last] = std::minmax_element(served.begin(), served.end());
  EXPECT_NE(*first, steady_clock::time_point()) << "not all were served";
  EXPECT_GT(attempts, 0);
  EXPECT_LT(attempts, static_cast<int>(kClients) * 5 * static_cast<int>(kAway.count()));
  std::printf("connections tried a second: %.0f; all served within %.1f s of the first; cpu_ms %lld, before %lld\n",
              static_cast<double>(attempts) / static_cast<double>(kAway.count()),
              std::chrono::duration<double>(*last - *first).count(), static_cast<long long>(cpu_at_once.count()),
              static_cast<long long>(cpu_one_by_one.count()));
}

}  // namespace
}  // namespace ferment::testing
