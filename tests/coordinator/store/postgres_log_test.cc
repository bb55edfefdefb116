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

TEST_F(PostgresLog, NothingIsAppendedOverRowsThatAreGone) {
  for (const char* change : {"TRUNCATE ferment_event", "DELETE FROM ferment_event WHERE sequence = 2",
                             "UPDATE ferment_event SET term = 7 WHERE sequence = 2"}) {
    SCOPED_TRACE(change);
    address_ = TheServer()->FreshDatabase();
    const auto store = Open(Options(address_));
    ASSERT_TRUE(store->Append(std::vector{Numbered(1), Numbered(2)}).ok());
    Sql(change);
    const std::string last = Sql("SELECT coalesce(max(sequence), 0) FROM ferment_event");
    const Status status = store->Append(std::vector{Numbered(3)});
    EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState) << status.ToString();
    EXPECT_THAT(std::string(status.message()), HasSubstr("expected=2 last=" + last));
    EXPECT_THAT(std::string(status.message()), HasSubstr("database=" + Sql("SELECT current_database()")));
    EXPECT_EQ(Sql("SELECT coalesce(max(sequence), 0) FROM ferment_event"), last);
    EXPECT_EQ(store->Append(std::vector{Numbered(3)}), status);
  }
}

TEST_F(PostgresLog, NothingIsAppendedOverRowsOfAFormerTermThatAreGone) {
  ASSERT_TRUE(Open(Options(address_))->Append(std::vector{Numbered(1), Numbered(2)}).ok());
  const auto store = Open(Options(address_));
  ASSERT_TRUE(store->Confirm().ok());
  Sql("DELETE FROM ferment_event WHERE sequence = 2");
  const Status status = store->Append(std::vector{Numbered(3)});
  EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState) << status.ToString();
}

TEST_F(PostgresLog, GoesOnBehindRowsOfAFormerTermAndBehindASnapshotOfNothing) {
  ASSERT_TRUE(Open(Options(address_))->Append(std::vector{Numbered(1)}).ok());
  const auto store = Open(Options(address_));
  EXPECT_TRUE(store->Append(std::vector{Numbered(2)}).ok());
  EXPECT_TRUE(store->Replace([](const EventSink&) { return Status(); }).ok());
  EXPECT_TRUE(store->Append(std::vector{Numbered(3)}).ok());
  EXPECT_EQ(CountOf(*store), 1);
}

TEST_F(PostgresLog, ADatabaseThatWasPutBackToAFormerTermIsToldAsThat) {
  Open(Options(address_));
  const auto store = Open(Options(address_));
  Sql("UPDATE ferment_leader SET term = 1, holder = 'former'");
  const Status status = store->Append(std::vector{Numbered(1)});
  EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState) << status.ToString();
  EXPECT_THAT(std::string(status.message()), HasSubstr("term=2 latest=1 leader=former"));
}

TEST_F(PostgresLog, NamesTheRowThatIsMissing) {
  const auto store = Open(Options(address_));
  ASSERT_TRUE(store->Replace([](const EventSink& sink) { return sink(Numbered(1)); }).ok());
  ASSERT_TRUE(store->Append(std::vector{Numbered(2), Numbered(3), Numbered(4)}).ok());
  ASSERT_TRUE(store
                  ->Replace([](const EventSink& sink) -> Status {
                    for (std::uint32_t i = 1; i <= 3; ++i) FERMENT_RETURN_IF_ERROR(sink(Numbered(i)));
                    return Status();
                  })
                  .ok());
  EXPECT_EQ(CountOf(*store), 3) << "a snapshot begins where the log was";
  const std::string gone =
      Sql("DELETE FROM ferment_event WHERE sequence = (SELECT max(sequence) - 1 FROM "
          "ferment_event) RETURNING sequence");
  const Status status = store->Replay([](const Event&) { return Status(); });
  EXPECT_EQ(ProcessExitCode(status), exit_code::kBadData) << status.ToString();
  EXPECT_THAT(std::string(status.message()), HasSubstr("row " + gone + " is missing"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("database=" + Sql("SELECT current_database()")));
}

/// Gives `sink` so many events of 100 kB.
Status Large(int events, const EventSink& sink) {
  for (int i = 0; i < events; ++i) {
    FERMENT_RETURN_IF_ERROR(sink(coordinator::RunCancelRequested{"run", std::string(100'000, 'x'), i}));
  }
  return {};
}

TEST_F(PostgresLog, ASnapshotTakesFewRoundTrips) {
  const auto store = Open(Options(address_));
  Sql("CREATE SEQUENCE statements; CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
      "nextval('statements'); RETURN NULL; END $$; CREATE TRIGGER count_it AFTER INSERT ON ferment_event FOR EACH "
      "STATEMENT EXECUTE FUNCTION count_it()");
  const Status status = store->Replace([](const EventSink& sink) -> Status {
    for (std::uint32_t i = 1; i <= 1'000; ++i) FERMENT_RETURN_IF_ERROR(sink(Numbered(i)));
    return Large(100, sink);
  });
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(CountOf(*store), 1'100);
  const int statements = std::stoi(Sql("SELECT last_value FROM statements"));
  EXPECT_GT(statements, 1) << "10 MB are no single statement";
  EXPECT_LT(statements, 10);
}

TEST_F(PostgresLog, ALeaderThatWritesASnapshotIsHeardMeanwhile) {
  auto options = Options(address_);
  options.renew_every = milliseconds(0);
  const auto store = Open(options);
  ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  const auto heard = [&] { return Sql("SELECT renewed FROM ferment_leader"); };
  std::string begin;
  std::string end;
  const Status status = store->Replace([&](const EventSink& sink) -> Status {
    begin = heard();
    FERMENT_RETURN_IF_ERROR(Large(100, sink));
    end = heard();
    return {};
  });
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_NE(begin, end);
  EXPECT_EQ(CountOf(*store), 100);
}

TEST_F(PostgresLog, ASnapshotOfOneThatLostTheLeadMeanwhileChangesNothing) {
  const auto first = Open(Options(address_, "first"));
  ASSERT_TRUE(first->Append(std::vector{Numbered(1)}).ok());
  const Status status = first->Replace([&](const EventSink& sink) {
    // By one that could not end its session.
    Sql("UPDATE ferment_leader SET term = 2, holder = 'second'");
    return Large(100, sink);
  });
  EXPECT_EQ(ProcessExitCode(status), exit_code::kFenced) << status.ToString();
  EXPECT_THAT(std::string(status.message()), HasSubstr("leader=second"));
  EXPECT_EQ(Sql("SELECT count(*) FROM ferment_event"), "1");
}

}  // namespace
}  // namespace ferment::testing
