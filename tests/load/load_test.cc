// SPDX-License-Identifier: Apache-2.0
#include "bench/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/lease_log.h"
#include "bench/load_client.h"
#include "common/base/status.h"
#include "common/config/run_layout.h"
#include "common/rpc/grpc_status.h"
#include "tests/load/call_flood.h"
#include "tests/load/growing_requests.h"
#include "tests/load/hostile_clients.h"
#include "tests/load/loaded_coordinator.h"

namespace ferment::load {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr int kLabelers = 64;
// Of all labelers: 500 commits with the next lease, and a renewal each.
constexpr double kCommitsASecond = 500;
constexpr double kCallsASecond = kCommitsASecond + kLabelers;
constexpr int kCallsToARenewal = static_cast<int>(kCallsASecond) / kLabelers;
constexpr double kHeldMib = 256;
constexpr double kMostMib = 512;

/// 64 labelers that commit, lease and renew in the background, and come back after whatever sends them away.
class Labelers {
 public:
  explicit Labelers(const std::string& address, rpc::CallOptions calls = {.deadline = 30s, .retry_for = 120s}) {
    for (int i = 0; i < kLabelers; ++i) clients_.push_back(std::make_unique<bench::LoadClient>(address, i, calls));
    for (const auto& client : clients_) {
      if (const Status status = client->Register(); !status.ok()) throw std::runtime_error(status.ToString());
    }
  }

  /// Returns: what they saw of `rate` calls a second; 0: each calls again once it is answered.
  bench::Load Work(double seconds, double rate = kCallsASecond) {
    return bench::RunLoad({.clients = kLabelers, .seconds = seconds, .rate = rate}, [&](int number) {
      bench::LoadClient& client = *clients_.at(static_cast<std::size_t>(number));
      return [this, &client, turn = 0]() mutable {
        const bool renew = ++turn % kCallsToARenewal == 0;
        const Status status = renew ? client.Renew() : client.Cycle();
        if (status.ok()) return 1;
        const std::lock_guard lock(mutex_);
        failure_ = status.ToString();
        return -1;
      };
    });
  }

  std::string failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
  std::vector<std::uint64_t> Committed() const {
    std::vector<std::uint64_t> all;
    for (const auto& client : clients_) all.insert(all.end(), client->committed().begin(), client->committed().end());
    return all;
  }

 private:
  std::vector<std::unique_ptr<bench::LoadClient>> clients_;
  std::mutex mutex_;
  std::string failure_;
};

/// Follow the run and read what comes, until destruction.
class Watchers {
 public:
  Watchers(const std::string& address, int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, address, i](const std::stop_token& stop) {
        const auto runs = v1::RunService::NewStub(bench::OpenOwnChannel(address, 3'000'000 + i));
        grpc::ClientContext context;
        const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
        v1::WatchRunRequest request;
        request.set_run_id(bench::kLeaseRun);
        const auto reader = runs->WatchRun(&context, request);
        v1::WatchRunResponse response;
        while (reader->Read(&response)) ++seen_;
        const grpc::Status status = reader->Finish();
        if (stop.stop_requested()) return;
        const std::lock_guard lock(mutex_);
        lost_ += std::to_string(status.error_code()) + ": " + status.error_message() + "; ";
      });
    }
  }
  std::uint64_t seen() const { return seen_; }
  /// How streams ended that nobody had asked to.
  std::string lost() {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

 private:
  std::atomic<std::uint64_t> seen_{0};
  std::mutex mutex_;
  std::string lost_;
  std::vector<std::jthread> threads_;
};

struct Scale {
  double seconds = 4;
  int watchers = 32;
  std::uint64_t shards = 60'000;
  int idle_connections = 2'000;
  int silent_readers = 120;
};
constexpr Scale kLong{
    .seconds = 60, .watchers = 200, .shards = 100'000, .idle_connections = 10'000, .silent_readers = 1'000};

void Tell(const char* what, const std::string& figures) { std::cout << what << ' ' << figures << std::endl; }

std::string Figures(const bench::Load& load) {
  return "calls=" + std::to_string(load.calls) + " failed=" + std::to_string(load.failed) +
         " p50_ms=" + std::to_string(load.Quantile(0.5)) + " p99_ms=" + std::to_string(load.Quantile(0.99));
}

std::string Figures(const ProcessResources& held) {
  return "rss_mib=" + std::to_string(held.rss_mib) + " peak_rss_mib=" + std::to_string(held.peak_rss_mib) +
         " threads=" + std::to_string(held.threads) + " files=" + std::to_string(held.files);
}

void ExpectNothingLost(LoadedCoordinator& coordinator, const Labelers& labelers) {
  EXPECT_EQ(coordinator.Leave(), exit_code::kTerminated);
  const auto in_the_log = coordinator.CommittedShards();
  std::uint64_t lost = 0;
  for (const std::uint64_t shard : labelers.Committed()) lost += in_the_log.contains(shard) ? 0 : 1;
  EXPECT_EQ(lost, 0U) << "of " << labelers.Committed().size() << " acknowledged";
}

/// T6.1.
void HoldTheLoad(const Scale& scale) {
  LoadedCoordinator coordinator(fs::path(::testing::TempDir()) / "held_load", scale.shards);
  Labelers labelers(coordinator.address());
  Watchers watchers(coordinator.address(), scale.watchers);
  (void)labelers.Work(1);
  const ProcessResources before = coordinator.Now();
  const bench::Load load = labelers.Work(scale.seconds);
  const ProcessResources after = coordinator.Now();
  Tell("held", Figures(load) + " " + Figures(after) + " seen=" + std::to_string(watchers.seen()));
  EXPECT_EQ(load.failed, 0U) << labelers.failure();
  EXPECT_EQ(load.calls, static_cast<std::uint64_t>(kCallsASecond * scale.seconds));
  EXPECT_EQ(watchers.lost(), "");
  EXPECT_GE(watchers.seen(), static_cast<std::uint64_t>(scale.watchers));
  EXPECT_LT(after.peak_rss_mib, kHeldMib);
  // Each result is remembered: some hundred bytes a shard.
  const double committed_mib = static_cast<double>(load.calls) * 512 / (1 << 20);
  EXPECT_LT(after.rss_mib - before.rss_mib, committed_mib + 48) << Figures(before);
  ExpectNothingLost(coordinator, labelers);
}

/// What the coordinator is to turn away, once each.
void ExpectTooMuchIsRefused(const std::string& address) {
  const grpc::Status just_fits = SubmitBytes(address, kMostBytesOfAMessage);
  EXPECT_EQ(just_fits.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << just_fits.error_message();
  const grpc::Status too_large = SubmitBytes(address, kMostBytesOfAMessage + 1);
  EXPECT_EQ(too_large.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(too_large.error_message(), HasSubstr("larger than max"));
  EXPECT_FALSE(rpc::RetryDelayOf(too_large)) << "it is as large the next time";
  EXPECT_FALSE(SendMetadata(address, 64 << 10).ok());
  // Groups within groups of a field that the message does not have, and messages within messages of one that it has.
  EXPECT_FALSE(SubmitRaw(address, std::string(100'000, '\x7b')).ok());
  EXPECT_FALSE(SubmitRaw(address, "\x12\x7f" + std::string(100'000, '\x0a')).ok());
}

/// Calls at ten times the rate of T6.1, and all that hostile clients do, at the same time.
FloodReport Overload(LoadedCoordinator& coordinator, Labelers& labelers, const Scale& scale) {
  const std::string& address = coordinator.address();
  const SilentReaders readers(address, scale.silent_readers);
  const SilentConnections silent(coordinator.admin(), 200);
  std::jthread connections([&] { OpenAndCloseConnections(address, scale.idle_connections, 200); });
  bench::Load work;
  // As labelers do: at a fixed rate they would have to make up for what they waited.
  std::jthread labeling([&] { work = labelers.Work(scale.seconds, 0); });
  CallFlood flood(address, 64);
  FloodReport report = flood.Run(10 * kCallsASecond, scale.seconds);
  EXPECT_THAT(AskAdmin(coordinator.admin(), "/livez"), HasSubstr("alive"));
  // However fast the machine is, there is a number of calls at once for which it is too slow.
  for (int calls = 4'000; report.refused_ms.empty() && calls <= 64'000; calls *= 2) report.Add(flood.Burst(calls));
  labeling.join();
  Tell("labelers_meanwhile", Figures(work));
  EXPECT_EQ(work.failed, 0U) << "refused labelers come back: " << labelers.failure();
  return report;
}

/// The gauge is set when the scheduler takes what waits; the page's own look may be in it.
bool QueueEmpties(LoadedCoordinator& coordinator) {
  const auto give_up = std::chrono::steady_clock::now() + 30s;
  while (std::chrono::steady_clock::now() < give_up) {
    if (coordinator.Metric("ferment_queue_depth").value_or(1e9) <= 4) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

/// T6.2.
void BearTheOverload(const Scale& scale) {
  const fs::path folder = fs::path(::testing::TempDir()) / "overload";
  LoadedCoordinator coordinator(folder, scale.shards, {"--max-waiting", "512"});
  const fs::path log = RunLayout(folder / "run").Log("teacher");
  fs::create_directories(log.parent_path());
  std::ofstream(log) << std::string(16 << 20, 'x');
  Labelers labelers(coordinator.address());
  (void)labelers.Work(1);
  const ProcessResources before = coordinator.Now();
  const FloodReport report = Overload(coordinator, labelers, scale);
  Tell("flood", report.ToString());
  Tell("overloaded", Figures(coordinator.Now()));
  for (const auto& [code, count] : report.ended) {
    EXPECT_THAT(code, AnyOf(grpc::StatusCode::OK, grpc::StatusCode::ABORTED, grpc::StatusCode::RESOURCE_EXHAUSTED,
                            grpc::StatusCode::UNAVAILABLE))
        << count << " calls";
  }
  EXPECT_GT(report.Of(grpc::StatusCode::RESOURCE_EXHAUSTED), 0U);
  EXPECT_EQ(report.refused_without_retry_info, 0U);
  EXPECT_TRUE(coordinator.ComesDownTo(before, 90s)) << Figures(before) << " became " << Figures(coordinator.Now());
  const bench::Load after = labelers.Work(2);
  Tell("after", Figures(after) + " " + Figures(coordinator.Now()));
  EXPECT_EQ(after.failed, 0U) << labelers.failure();
  EXPECT_TRUE(QueueEmpties(coordinator));
  ExpectTooMuchIsRefused(coordinator.address());
  EXPECT_TRUE(coordinator.IsAlive());
  EXPECT_LT(coordinator.Now().peak_rss_mib, kMostMib);
  ExpectNothingLost(coordinator, labelers);
}

TEST(Load, IsHeld) { HoldTheLoad({}); }

TEST(Load, PastWhatCanBeDoneIsRefusedAndLosesNothing) { BearTheOverload({}); }

class LongLoad : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("FERMENT_LONG_TESTS") == nullptr)
      GTEST_SKIP() << "set FERMENT_LONG_TESTS=1 or run `make test-long`";
  }
};

TEST_F(LongLoad, IsHeld) { HoldTheLoad(kLong); }

TEST_F(LongLoad, PastWhatCanBeDoneIsRefusedAndLosesNothing) { BearTheOverload(kLong); }

}  // namespace
}  // namespace ferment::load
