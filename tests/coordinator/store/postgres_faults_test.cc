// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

#include "coordinator/store/postgres_connection.h"
#include "tests/coordinator/store/postgres_store_fixture.h"
#include "tests/support/session_faults.h"

namespace ferment::testing {
namespace {

using coordinator::Event;
using coordinator::EventSink;
using coordinator::EventStore;
using coordinator::OpenPostgresEventStore;
using coordinator::PostgresConnection;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

class PostgresFaults : public PostgresStoreFixture {
 protected:
  /// From now on the database refuses what `when` says with this SQLSTATE; an empty one: it takes it and does nothing.
  void Refuse(const std::string& when, const std::string& sql_state) {
    const std::string act =
        sql_state.empty() ? "RETURN NULL" : "RAISE EXCEPTION 'refused' USING ERRCODE = '" + sql_state + "'";
    RunSql(address_, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + act +
                         "; END $$; CREATE TRIGGER refuse BEFORE " + when + " FOR EACH ROW EXECUTE FUNCTION refuse()");
  }
  void RefuseNothing() { RunSql(address_, "DROP FUNCTION refuse CASCADE"); }
  /// A coordinator led here, and its session has ended.
  void LeadOnce() {
    Open(Options(address_));
    ExpectSoon([&] { return LocksOfTerms() == "0"; });
  }
  void MakeRole(const std::string& name) {
    RunSql(address_, "DO $$ BEGIN CREATE ROLE " + name + " LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
  }
  std::string LocksOfTerms() {
    return RunSql(address_,
                  "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                  "WHERE locktype = 'advisory' AND datname = current_database()");
  }
};

/// What a store is asked in its life; each is a call that a failure of before must refuse too.
const std::vector<std::function<Status(EventStore&)>> kCalls = {
    [](EventStore& store) { return store.Append(std::vector{Numbered(7)}); },
    [](EventStore& store) { return store.Append({}); },
    [](EventStore& store) { return store.Confirm(); },
    [](EventStore& store) { return store.Replace([](const EventSink& sink) { return sink(Numbered(8)); }); },
    [](EventStore& store) { return store.Replay([](const Event&) { return Status(); }); },
};

void ExpectFailsForEver(EventStore& store, int exit_code) {
  for (const auto& call : kCalls) {
    const Status status = call(store);
    EXPECT_EQ(ProcessExitCode(status), exit_code) << status.ToString();
  }
}

TEST_F(PostgresFaults, AServerThatCannotWriteEndsTheStoreWith204AndNothingIsTakenAfterwards) {
  for (const char* sql_state : {"53100", "58030"}) {
    SCOPED_TRACE(sql_state);
    address_ = TheServer()->FreshDatabase();
    const auto store = Open(Options(address_));
    ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
    Refuse("INSERT ON ferment_event", sql_state);
    const Status status = store->Append(std::vector{Numbered(2)});
    EXPECT_EQ(ProcessExitCode(status), exit_code::kStorageFailed) << status.ToString();
    EXPECT_THAT(std::string(status.message()), HasSubstr("check its disk"));
    RefuseNothing();
    ExpectFailsForEver(*store, exit_code::kStorageFailed);
    EXPECT_EQ(RunSql(address_, "SELECT count(*) FROM ferment_event"), "1");
  }
}

TEST_F(PostgresFaults, ASnapshotThatTheServerCannotWriteLeavesTheLogAsItWas) {
  const auto store = Open(Options(address_));
  ASSERT_TRUE(store->Append(std::vector{Numbered(1), Numbered(2)}).ok());
  Refuse("INSERT ON ferment_event", "53100");
  const Status status = store->Replace([](const EventSink& sink) { return sink(Numbered(10)); });
  EXPECT_EQ(ProcessExitCode(status), exit_code::kStorageFailed) << status.ToString();
  EXPECT_EQ(RunSql(address_, "SELECT count(*) FROM ferment_event"), "2");
}

TEST_F(PostgresFaults, WhatTheServerRefusesOtherwiseIsOurBug) {
  const auto store = Open(Options(address_));
  Refuse("INSERT ON ferment_event", "22000");
  const Status status = store->Append(std::vector{Numbered(1)});
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kBug);
  EXPECT_THAT(std::string(status.message()), HasSubstr("sqlstate=22000"));
}

TEST_F(PostgresFaults, TablesThatAreNotThisVersionsAreToldAsThat) {
  for (const char* change :
       {"ALTER TABLE ferment_event RENAME TO ferment_entry", "ALTER TABLE ferment_leader RENAME renewed TO heard"}) {
    address_ = TheServer()->FreshDatabase();
    const auto store = Open(Options(address_));
    RunSql(address_, change);
    const Status status = store->Append(std::vector{Numbered(1)});
    EXPECT_THAT(std::string(status.message()), HasSubstr("not those of this ferment"));
    ExpectFailsForEver(*store, exit_code::kUnreadableState);
  }
}

TEST_F(PostgresFaults, AUserWhoMayMakeNoTablesIsToldSo) {
  MakeRole("reader");
  const auto store = OpenPostgresEventStore(Options(address_ + "&user=reader"));
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kNotAllowed) << store.error().ToString();
  EXPECT_THAT(std::string(store.error().message()), HasSubstr("grant it USAGE and CREATE"));
}

TEST_F(PostgresFaults, AskedToStopNobodyStandsByOrWaitsForAServerAnyLonger) {
  const auto leader = Open(Options(address_, "leader"));
  std::stop_source stop;
  auto options = Options(address_);
  options.stop = stop.get_token();
  options.stands_by = [&](const std::string&) { stop.request_stop(); };
  EXPECT_EQ(OpenPostgresEventStore(options).error().code(), StatusCode::kCancelled);
  options.address = "postgresql://ferment@/none?host=/nowhere";
  EXPECT_EQ(OpenPostgresEventStore(options).error().code(), StatusCode::kCancelled);
}

TEST_F(PostgresFaults, EachCallOfOneThatNoLongerLeadsEndsWith202AndNamesWhoDoes) {
  for (const auto& call : kCalls) {
    address_ = TheServer()->FreshDatabase();
    const auto first = Open(Options(address_, "first"));
    ASSERT_TRUE(first->Append(std::vector{Numbered(1)}).ok());
    auto options = Options(address_, "second");
    options.silence = milliseconds(0);
    const auto second = Open(options);
    const Status late = call(*first);
    EXPECT_EQ(ProcessExitCode(late), exit_code::kFenced) << late.ToString();
    EXPECT_THAT(std::string(late.message()), HasSubstr("leader=second"));
    ExpectFailsForEver(*first, exit_code::kFenced);
    EXPECT_EQ(CountOf(*second), 1);
  }
}

TEST_F(PostgresFaults, ARowThatIsNotOfThisTermInTheNextOnesPlaceFences) {
  const auto store = Open(Options(address_));
  RunSql(address_, "INSERT INTO ferment_event VALUES (1, 99, '')");
  EXPECT_EQ(ProcessExitCode(store->Append(std::vector{Numbered(1)})), exit_code::kFenced);
}

TEST_F(PostgresFaults, LeavesTheTermToOneThatHoldsItsLockAlready) {
  LeadOnce();
  auto faster = *PostgresConnection::Open(address_, std::chrono::seconds(10));
  ASSERT_TRUE(faster->Query("SELECT pg_advisory_lock" + coordinator::AdvisoryLock(2)));
  std::string locks;
  auto options = Options(address_);
  options.stands_by = [&](const std::string&) {
    locks = LocksOfTerms();
    faster.reset();
  };
  const auto store = Open(options);
  EXPECT_EQ(locks, "1") << "who stands by keeps no term from others";
  EXPECT_EQ(store->term(), 2U);
}

TEST_F(PostgresFaults, LeavesTheTermToOneThatTookItInBetween) {
  LeadOnce();
  Refuse("UPDATE ON ferment_leader", "");
  std::string locks;
  auto options = Options(address_);
  options.stands_by = [&](const std::string&) {
    locks = LocksOfTerms();
    RefuseNothing();
  };
  const auto store = Open(options);
  EXPECT_EQ(locks, "0") << "who stands by keeps no term from others";
  EXPECT_EQ(store->term(), 2U);
}

TEST_F(PostgresFaults, ASilentLeaderWhoseSessionCannotBeEndedLosesTheLeadAllTheSame) {
  const auto first = Open(Options(address_, "first"));
  MakeRole("peer");
  RunSql(address_, "GRANT ALL ON SCHEMA public TO peer; GRANT ALL ON ALL TABLES IN SCHEMA public TO peer");
  auto options = Options(address_ + "&user=peer", "second");
  options.silence = milliseconds(0);
  const auto second = Open(options);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(ProcessExitCode(first->Append(std::vector{Numbered(1)})), exit_code::kFenced);
  EXPECT_TRUE(second->Append(std::vector{Numbered(2)}).ok());
}

TEST_F(PostgresFaults, ASilentLeadersSessionIsEndedOnlyByWhoTakesTheLead) {
  const auto first = Open(Options(address_, "first"));
  ASSERT_TRUE(first->Confirm().ok());
  const std::string session = RunSql(address_, "SELECT backend FROM ferment_leader");
  // One that is about to begin the next term, and takes its time.
  auto faster = *PostgresConnection::Open(address_, std::chrono::seconds(10));
  ASSERT_TRUE(faster->Query("SELECT pg_advisory_lock" + coordinator::AdvisoryLock(2)));
  std::string alive;
  auto options = Options(address_, "second");
  options.silence = milliseconds(0);
  options.stands_by = [&](const std::string&) {
    alive = RunSql(address_, "SELECT count(*) FROM pg_stat_activity WHERE pid = " + session);
    faster.reset();
  };
  EXPECT_EQ(Open(options)->term(), 2U);
  EXPECT_EQ(alive, "1");
}

TEST_F(PostgresFaults, ALeaderThatConfirmsIsHeard) {
  auto options = Options(address_);
  options.renew_every = milliseconds(0);
  const auto store = Open(options);
  const std::string before = RunSql(address_, "SELECT renewed FROM ferment_leader");
  EXPECT_TRUE(store->Confirm().ok());
  EXPECT_NE(RunSql(address_, "SELECT renewed FROM ferment_leader"), before);
}

TEST_F(PostgresFaults, ASessionThatIsLostIsToldAsThatByEachStatement) {
  const auto session = *PostgresConnection::Open(address_, std::chrono::seconds(10));
  EXPECT_FALSE(session->Query("SELECT pg_terminate_backend(pg_backend_pid())"));
  for (int i = 0; i < 2; ++i) {
    const auto answer = session->Query("SELECT 1");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), StatusCode::kUnavailable) << answer.error().ToString();
    EXPECT_EQ(ProcessExitCode(answer.error()), exit_code::kMissingService);
  }
}

TEST_F(PostgresFaults, AServerThatIsAwayForLongerThanThePatienceEndsTheStoreWith69) {
  auto options = Options(address_);
  options.patience = milliseconds(200);
  const auto store = Open(options);
  TheServer()->Stop();
  EXPECT_EQ(ProcessExitCode(store->Append(std::vector{Numbered(1)})), exit_code::kMissingService);
  TheServer()->StartAgain();
  ExpectFailsForEver(*store, exit_code::kMissingService);
  EXPECT_EQ(RunSql(address_, "SELECT count(*) FROM ferment_event"), "0");
}

TEST_F(PostgresFaults, AServerProcessThatHangsIsLeftAndWhatItDoesOnceItGoesOnIsNotDoneTwice) {
  int again = 0;
  auto options = Options(address_);
  options.answer_limit = milliseconds(1'000);
  options.reconnected = [&] { ++again; };
  const auto store = Open(options);
  ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  const std::string pid = RunSql(address_, "SELECT backend FROM ferment_leader");
  ASSERT_EQ(kill(std::stoi(pid), SIGSTOP), 0);
  EXPECT_TRUE(store->Append(std::vector{Numbered(2)}).ok());
  EXPECT_GE(again, 1);
  kill(std::stoi(pid), SIGCONT);
  ExpectSoon([&] { return RunSql(address_, "SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid) == "0"; });
  EXPECT_EQ(CountOf(*store), 2);
}

/// Opens the store and makes every kind of call. Returns: the log at the end.
Result<std::vector<Event>> Live(const std::string& address) {
  auto options = Options(address);
  options.renew_every = milliseconds(0);
  FERMENT_ASSIGN_OR_RETURN(const auto store, OpenPostgresEventStore(options));
  FERMENT_RETURN_IF_ERROR(store->Append(std::vector{Numbered(1), Numbered(2)}));
  FERMENT_RETURN_IF_ERROR(store->Replace([](const EventSink& sink) {
    const Status first = sink(Numbered(10));
    return first.ok() ? sink(Numbered(20)) : first;
  }));
  FERMENT_RETURN_IF_ERROR(store->Append(std::vector{Numbered(3)}));
  FERMENT_RETURN_IF_ERROR(store->Confirm());
  std::vector<Event> log;
  FERMENT_RETURN_IF_ERROR(store->Replay([&](const Event& event) {
    log.push_back(event);
    return Status();
  }));
  return log;
}

TEST_F(PostgresFaults, ASessionLostAtAnyStatementLosesAndDoublesNothing) {
  int lost = 0;
  ForEachLostStatement(200, [&](SessionFaults::Kind kind, int at) {
    bool happened = false;
    {
      const SessionFaults faults(kind, at);
      const auto log = Live(address_);
      EXPECT_TRUE(log) << log.error().ToString();
      if (log) {
        EXPECT_EQ(*log, (std::vector{Numbered(10), Numbered(20), Numbered(3)}));
      }
      happened = faults.happened();
    }
    if (happened) ++lost;
    RunSql(address_, "DROP TABLE ferment_schema, ferment_leader, ferment_event");
    return happened;
  });
  EXPECT_GT(lost, 2 * 15) << "statements that a session was lost at";
}

}  // namespace
}  // namespace ferment::testing
