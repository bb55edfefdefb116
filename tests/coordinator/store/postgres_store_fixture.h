// SPDX-License-Identifier: Apache-2.0
//
// One PostgreSQL server for all tests of a program, and a fresh database in it for each.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "coordinator/store/postgres_event_store.h"
#include "tests/support/postgres_server.h"

namespace ferment::testing {

/// Returns: nullptr where PostgreSQL is not installed.
inline PostgresServer* TheServer() {
  static const std::unique_ptr<PostgresServer> server = PostgresServer::Start();
  return server.get();
}

inline coordinator::PostgresStoreOptions Options(const std::string& address, const std::string& holder = "test") {
  coordinator::PostgresStoreOptions options;
  options.address = address;
  options.holder = holder;
  options.look_every = std::chrono::milliseconds(20);
  return options;
}

inline coordinator::Event Numbered(std::uint32_t number) { return coordinator::AttemptLaunched{"run", "job", number}; }

class PostgresStoreFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    if (TheServer() == nullptr) GTEST_SKIP() << "PostgreSQL 15 is not installed";
    address_ = TheServer()->FreshDatabase();
  }
  static std::unique_ptr<coordinator::EventStore> Open(coordinator::PostgresStoreOptions options) {
    auto store = OpenPostgresEventStore(std::move(options));
    EXPECT_TRUE(store) << store.error().ToString();
    return store ? std::move(*store) : nullptr;
  }
  static int CountOf(coordinator::EventStore& store) {
    int events = 0;
    EXPECT_TRUE(store.Replay([&](const coordinator::Event&) { return ++events, Status(); }).ok());
    return events;
  }
  static void ExpectSoon(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!holds() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_TRUE(holds());
  }
  std::string address_;
};

}  // namespace ferment::testing
