// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/coordinator/store/postgres_store_fixture.h"

namespace ferment::testing {
namespace {

using coordinator::Event;
using coordinator::EventSink;
using coordinator::EventStore;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

class PostgresLog : public PostgresStoreFixture {
 protected:
  std::string Sql(const std::string& sql) const { return RunSql(address_, sql); }
};

/// While it lives, and until it comes, every commit of the server waits for a replica that is not there.
class AwaitedReplica {
 public:
  explicit AwaitedReplica(std::string address) : address_(std::move(address)) { Set("'nobody'"); }
  ~AwaitedReplica() { Comes(); }
  AwaitedReplica(const AwaitedReplica&) = delete;
  AwaitedReplica& operator=(const AwaitedReplica&) = delete;
  void Comes() { Set("''"); }
  /// Returns: the server process whose commit waits, "" where none does.
  std::string Waiting() const {
    return RunSql(address_,
                  "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = "
                  "current_database()");
  }

 private:
  void Set(const std::string& names) {
    RunSql(address_, "ALTER SYSTEM SET synchronous_standby_names = " + names);
    RunSql(address_, "SELECT pg_reload_conf()");
  }
  std::string address_;
};

TEST_F(PostgresLog, WhatNoReplicaHasIsNotAcknowledgedWhereTheSessionWasLost) {
  const auto store = Open(Options(address_));
  AwaitedReplica replica(address_);
  int acknowledged = 0;
  std::atomic<bool> enough = false;
  std::atomic<bool> ended = false;
  std::jthread appends([&] {
    // The server heeds a changed setting some time later.
    while (!enough) acknowledged += store->Append(std::vector{Numbered(1)}).ok() ? 1 : 0;
    ended = true;
  });
  std::string first;
  ExpectSoon([&] { return !(first = replica.Waiting()).empty(); });
  enough = true;
  ASSERT_NE(first, "");
  Sql("SELECT pg_terminate_backend(" + first + ")");
  std::string second;
  ExpectSoon([&] { return ended || (!(second = replica.Waiting()).empty() && second != first); });
  EXPECT_FALSE(ended) << "acknowledged without the replica";
  replica.Comes();
  appends.join();
  EXPECT_EQ(CountOf(*store), acknowledged);
}

}  // namespace
}  // namespace ferment::testing
