// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/json.h"
#include "common/event/child_process.h"
#include "common/io/audit_log.h"
#include "common/rpc/grpc_channel.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::string TextOf(const fs::path& file) {
  std::ifstream in(file);
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// A ferment-coordinator process, and callers whose calls stand in its audit log.
class AuditRotation : public ::testing::Test {
 protected:
  AuditRotation() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override {
    if (coordinator_) coordinator_->SignalGroup(SIGKILL);
    if (coordinator_) coordinator_->WaitFor(30s);
  }
  void Start() {
    auto started = event::ChildProcess::Start(
        {.argv = {FERMENT_BIN_DIR "/ferment-coordinator", "--store", "sqlite:" + (folder_ / "ferment.db").string(),
                  "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--insecure", "--address-file",
                  address_.string(), "--audit-file", audit_.string()},
         .output = folder_ / "coordinator.txt"});
    ASSERT_TRUE(started);
    coordinator_ = std::move(*started);
    ASSERT_TRUE(Eventually([this] { return fs::exists(address_); })) << TextOf(folder_ / "coordinator.txt");
  }
  void Stop() {
    coordinator_->Signal(SIGTERM);
    ASSERT_EQ(coordinator_->WaitFor(60s), exit_code::kTerminated) << TextOf(folder_ / "coordinator.txt");
    fs::remove(address_);
  }
  static bool Eventually(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!holds() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return holds();
  }
  /// Cancels runs that there are not, until it is stopped. Returns: how many of its calls were answered.
  int CallUntil(const std::stop_token& stop, const std::string& caller) const {
    const auto channel = rpc::OpenChannel(ParseJson(TextOf(address_)).value_or(Json::object()).value("grpc", ""), {});
    if (!channel) return 0;
    const auto stub = v1::RunService::NewStub(*channel);
    int calls = 0;
    while (!stop.stop_requested()) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + 60s);
      v1::CancelRunRequest request;
      request.set_run_id(caller + "-" + std::to_string(calls));
      v1::CancelRunResponse response;
      const grpc::Status status = stub->CancelRun(&context, request, &response);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << status.error_message();
      ++calls;
    }
    return calls;
  }
  /// Returns: how often each run stands in these files.
  static std::map<std::string, int> CallsIn(const std::vector<fs::path>& files) {
    std::map<std::string, int> calls;
    for (const fs::path& file : files) {
      std::ifstream in(file);
      for (std::string line; std::getline(in, line);) {
        const Json json = ParseJson(line).value_or(Json::object());
        if (json.value("method", "") == "ferment.v1.RunService/CancelRun") ++calls[json.value("run", "")];
      }
    }
    return calls;
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / "audit_rotation";
  const fs::path address_ = folder_ / "address.json";
  const fs::path audit_ = folder_ / "audit.jsonl";
  std::optional<event::ChildProcess> coordinator_;
};

TEST_F(AuditRotation, HasEachCallOnceWhileItsFileIsMovedAwayAndHupComes) {
  constexpr int kCallers = 3;
  constexpr int kRotations = 20;
  Start();
  std::array<int, kCallers> answered{};
  std::vector<fs::path> files;
  {
    std::vector<std::jthread> callers;
    for (std::size_t i = 0; i < kCallers; ++i) {
      callers.emplace_back(
          [this, &answered, i](const std::stop_token& stop) { answered.at(i) = CallUntil(stop, std::to_string(i)); });
    }
    for (int i = 0; i < kRotations; ++i) {
      ASSERT_TRUE(Eventually([&] { return fs::file_size(audit_) > 10'000; })) << "rotation=" << i;
      files.push_back(audit_.string() + "." + std::to_string(i));
      fs::rename(audit_, files.back());
      const auto moved = fs::file_size(files.back());
      // The moved file takes lines too, unless a HUP of the round before came late.
      ASSERT_TRUE(Eventually([&] { return fs::file_size(files.back()) > moved || fs::exists(audit_); }));
      for (int hups = 0; hups <= i % 3; ++hups) coordinator_->Signal(SIGHUP);
      ASSERT_TRUE(Eventually([&] { return fs::exists(audit_); })) << TextOf(folder_ / "coordinator.txt");
    }
  }
  Stop();
  files.push_back(audit_);
  const auto summary = io::VerifyAuditLog(files);
  ASSERT_TRUE(summary) << summary.error().ToString();
  std::size_t expected = 0;
  const auto calls = CallsIn(files);
  for (std::size_t i = 0; i < kCallers; ++i) {
    expected += static_cast<std::size_t>(answered.at(i));
    for (int call = 0; call < answered.at(i); ++call) {
      const auto found = calls.find(std::to_string(i) + "-" + std::to_string(call));
      ASSERT_TRUE(found != calls.end() && found->second == 1) << "caller=" << i << " call=" << call;
    }
  }
  EXPECT_EQ(calls.size(), expected);
  EXPECT_EQ(summary->lines, expected + kRotations) << "and a line of each rotation";
  std::printf("%zu calls over %zu files\n", expected, files.size());
}

TEST_F(AuditRotation, GoesOnAfterARestartAlthoughNobodyCalledSinceTheRotation) {
  const fs::path former = audit_.string() + ".1";
  Start();
  fs::rename(audit_, former);
  coordinator_->Signal(SIGHUP);
  ASSERT_TRUE(Eventually([&] { return fs::exists(audit_) && fs::file_size(audit_) > 0; }));
  Stop();
  Start();
  Stop();
  const auto summary = io::VerifyAuditLog({former, audit_});
  ASSERT_TRUE(summary) << summary.error().ToString();
  EXPECT_EQ(summary->lines, 1U);
}

}  // namespace
}  // namespace ferment::testing
