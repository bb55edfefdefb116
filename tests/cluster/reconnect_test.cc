// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

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

}  // namespace
}  // namespace ferment::testing
