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
#include "tests/load/load_figures.h"
#include "tests/load/loaded_coordinator.h"

namespace ferment::load {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr double kHeldMib = 256;
constexpr double kMostMib = 512;

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
  /// Labelers that call again as soon as they are answered commit some thousands a second.
  std::uint64_t more_shards = 40'000;
  int idle_connections = 2'000;
  int silent_readers = 120;
};
constexpr Scale kLong{.seconds = 60,
                      .watchers = 200,
                      .shards = 100'000,
                      .more_shards = 600'000,
                      .idle_connections = 10'000,
                      .silent_readers = 1'000};

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
  Tell("flood", report.ToString());
  EXPECT_THAT(AskAdmin(coordinator.admin(), "/livez"), HasSubstr("alive"));
  // However fast the machine is, there is a number of calls at once for which it is too slow.
  for (int calls = 4'000; report.refused_ms.empty() && calls <= 64'000; calls *= 2) {
    report.Add(flood.Burst(calls));
    Tell("with_a_burst", report.ToString());
  }
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
  // So short that ten times the load is past it on a machine that could bear all of it with a longer one.
  LoadedCoordinator coordinator(folder, scale.shards + scale.more_shards, {"--max-waiting", "64"});
  const fs::path log = RunLayout(folder / "run").Log("teacher");
  fs::create_directories(log.parent_path());
  std::ofstream(log) << std::string(16 << 20, 'x');
  Labelers labelers(coordinator.address());
  (void)labelers.Work(1);
  const ProcessResources before = coordinator.Now();
  const FloodReport report = Overload(coordinator, labelers, scale);
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
