// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_schema.h"

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "tests/coordinator/store/postgres_store_fixture.h"
#include "tests/support/session_faults.h"

namespace ferment::testing {
namespace {

using namespace coordinator;  // NOLINT(google-build-using-namespace): events by their names
using std::chrono::milliseconds;
using ::testing::HasSubstr;

/// What pg_dump made of a database of version 1, in which a coordinator led that did not know of steps; the bodies are
/// those that 2026-11-25 wrote, behind a snapshot.
constexpr const char* kFormer =
    "CREATE TABLE public.ferment_event (sequence bigint NOT NULL, term bigint NOT NULL, body bytea NOT NULL);"
    "CREATE TABLE public.ferment_leader (one integer NOT NULL, term bigint NOT NULL, holder text NOT NULL,"
    "  backend integer NOT NULL, renewed timestamp with time zone NOT NULL,"
    "  CONSTRAINT ferment_leader_one_check CHECK ((one = 1)));"
    "CREATE TABLE public.ferment_schema (one integer NOT NULL, version integer NOT NULL,"
    "  CONSTRAINT ferment_schema_one_check CHECK ((one = 1)));"
    "INSERT INTO public.ferment_event VALUES (41, 6, '\\x320e0a01721207746561636865721802');"
    "INSERT INTO public.ferment_event VALUES (42, 7, '\\x6a0f0a016c12016e1a0169220461767832');"
    "INSERT INTO public.ferment_event VALUES (43, 7,"
    "  '\\x7a1d0a0e0a017212056c6162656c1803200912087265706c616365641a0171');"
    "INSERT INTO public.ferment_leader VALUES (1, 7, 'host:7071 pid 17', 1234, '2026-11-29 05:33:15.25+00');"
    "INSERT INTO public.ferment_schema VALUES (1, 1);"
    "ALTER TABLE ONLY public.ferment_event ADD CONSTRAINT ferment_event_pkey PRIMARY KEY (sequence);"
    "ALTER TABLE ONLY public.ferment_leader ADD CONSTRAINT ferment_leader_pkey PRIMARY KEY (one);"
    "ALTER TABLE ONLY public.ferment_schema ADD CONSTRAINT ferment_schema_pkey PRIMARY KEY (one)";

std::vector<Event> FormerLog() {
  return {AttemptLaunched{"r", "teacher", 2}, LabelerRegistered{"l", "n", "i", "avx2"},
          ShardReleased{{"r", "label", 3, 9}, ReleaseReason::kReplaced, "q"}};
}

/// A later program's second step. Taken twice, it fails.
constexpr const char* kSecond =
    "ALTER TABLE ferment_event ADD COLUMN size int; UPDATE ferment_event SET size = octet_length(body)";
std::vector<const char*> Steps(std::initializer_list<const char*> later) {
  std::vector<const char*> steps = {PostgresSteps().front()};
  steps.insert(steps.end(), later);
  return steps;
}

class PostgresSchema : public PostgresStoreFixture {
 protected:
  std::string Sql(const std::string& sql) const { return RunSql(address_, sql); }
  std::string Version() const { return Sql("SELECT version FROM ferment_schema"); }
  std::string Term() const { return Sql("SELECT term FROM ferment_leader"); }
  /// Whether the second step was taken.
  bool HasSizes() const {
    return Sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'ferment_event' AND column_name = "
               "'size'") == "1";
  }
  void ExpectTheFormerVersionWhole() const {
    EXPECT_EQ(Version(), "1");
    EXPECT_FALSE(HasSizes());
    EXPECT_EQ(Term(), "7");
    EXPECT_EQ(Sql("SELECT count(*) FROM ferment_event"), "3");
  }
  PostgresStoreOptions Knowing(const std::vector<const char*>& steps, const std::string& holder = "test") const {
    auto options = Options(address_, holder);
    options.schema = steps;
    return options;
  }
  static std::vector<Event> LogOf(const std::unique_ptr<EventStore>& store) {
    std::vector<Event> log;
    if (store == nullptr) return log;
    const Status status = store->Replay([&](const Event& event) { return log.push_back(event), Status(); });
    EXPECT_TRUE(status.ok()) << status.ToString();
    return log;
  }
  /// Sessions of this database that wait for an advisory lock.
  std::string Waiting() const {
    return Sql(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database WHERE locktype = "
        "'advisory' AND datname = current_database() AND NOT granted");
  }

  const std::vector<const char*> two_ = Steps({kSecond});
};

TEST_F(PostgresSchema, ADatabaseOfBeforeTheStepsIsTakenOnAsItIs) {
  Sql(kFormer);
  const auto store = Open(Options(address_));
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->term(), 8U);
  EXPECT_EQ(LogOf(store), FormerLog());
  EXPECT_EQ(Version(), "1");
  ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  EXPECT_EQ(Sql("SELECT term FROM ferment_event WHERE sequence = 44"), "8");
}

TEST_F(PostgresSchema, TheDumpIsWhatTheFirstStepMakes) {
  const auto tables = [this] {
    return Sql(
        "SELECT string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default), ',' "
        "ORDER BY table_name, ordinal_position) FROM information_schema.columns WHERE table_schema = 'public'");
  };
  const auto constraints = [this] {
    return Sql(
        "SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)), ',' ORDER BY "
        "conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace");
  };
  Sql(kFormer);
  const std::string former = tables() + constraints();
  address_ = TheServer()->FreshDatabase();
  Open(Options(address_));
  EXPECT_EQ(tables() + constraints(), former);
}

TEST_F(PostgresSchema, ADatabaseOfAFormerVersionIsMigratedWithItsLog) {
  Sql(kFormer);
  const auto store = Open(Knowing(two_));
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->term(), 8U);
  EXPECT_EQ(Version(), "2");
  EXPECT_EQ(Sql("SELECT string_agg(size::text, ',' ORDER BY sequence) FROM ferment_event"), "16,17,31");
  EXPECT_EQ(LogOf(store), FormerLog());
  ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  EXPECT_EQ(Sql("SELECT max(sequence) FROM ferment_event"), "44");
}

TEST_F(PostgresSchema, AStepThatFailsLeavesTheFormerVersionWhole) {
  Sql(kFormer);
  const auto store = OpenPostgresEventStore(Knowing(Steps({kSecond, "INSERT INTO ferment_leader VALUES (2, 0)"})));
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kBug) << store.error().ToString();
  EXPECT_THAT(std::string(store.error().message()), HasSubstr("migrating the store to version 3"));
  ExpectTheFormerVersionWhole();
  EXPECT_EQ(LogOf(Open(Knowing(two_))), FormerLog());
}

TEST_F(PostgresSchema, AStepThatFailsInAnEmptyDatabaseLeavesItEmpty) {
  const auto store = OpenPostgresEventStore(Knowing(Steps({"SELECT 1 / 0"})));
  ASSERT_FALSE(store);
  EXPECT_EQ(Sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

TEST_F(PostgresSchema, ANewerVersionIsRefusedByNameAndNothingIsWritten) {
  Open(Options(address_));
  Sql("UPDATE ferment_schema SET version = 99; ALTER TABLE ferment_event RENAME TO ferment_entry");
  const auto store = OpenPostgresEventStore(Options(address_));
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kUnreadableState) << store.error().ToString();
  const std::string database = Sql("SELECT current_database()");
  EXPECT_THAT(std::string(store.error().message()), HasSubstr("database=" + database));
  EXPECT_THAT(std::string(store.error().message()), HasSubstr("schema=99 known=1"));
  EXPECT_EQ(Sql("SELECT to_regclass('ferment_event')"), "");
  EXPECT_EQ(Term(), "1");
}

TEST_F(PostgresSchema, TablesWithoutAVersionAreRefused) {
  for (const char* change : {"DELETE FROM ferment_schema", "UPDATE ferment_schema SET version = 0",
                             "DROP TABLE ferment_schema", "DROP TABLE ferment_schema, ferment_leader"}) {
    address_ = TheServer()->FreshDatabase();
    Open(Options(address_));
    Sql(change);
    const auto store = OpenPostgresEventStore(Options(address_));
    ASSERT_FALSE(store) << change;
    EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kUnreadableState) << store.error().ToString();
    EXPECT_THAT(std::string(store.error().message()), HasSubstr("without its version"));
  }
}

TEST_F(PostgresSchema, OneThatLeadsKeepsItsTablesWhileANewerVersionStandsBy) {
  Sql(kFormer);
  auto first = Open(Options(address_, "first"));
  std::atomic<bool> stands_by = false;
  auto options = Knowing(two_, "second");
  options.stands_by = [&](const std::string&) { stands_by = true; };
  std::unique_ptr<EventStore> second;
  std::jthread standby([&] { second = Open(options); });
  ExpectSoon([&] { return stands_by.load(); });
  EXPECT_EQ(Version(), "1");
  EXPECT_TRUE(first->Append(std::vector{Numbered(1)}).ok());
  first.reset();
  standby.join();
  EXPECT_EQ(Version(), "2");
  EXPECT_EQ(CountOf(*second), 4);
}

TEST_F(PostgresSchema, OnesOfAFormerVersionWriteNothingOnceANewerOneLed) {
  Sql(kFormer);
  const auto first = Open(Options(address_, "first"));
  std::atomic<bool> stands_by = false;
  auto options = Options(address_, "standby");
  options.stands_by = [&](const std::string&) { stands_by = true; };
  Status ended;
  std::jthread standby([&] { ended = OpenPostgresEventStore(options).error(); });
  ExpectSoon([&] { return stands_by.load(); });
  auto newer = Knowing(two_, "newer");
  newer.silence = milliseconds(0);
  const auto second = Open(newer);
  standby.join();
  EXPECT_EQ(ProcessExitCode(ended), exit_code::kUnreadableState) << ended.ToString();
  EXPECT_THAT(std::string(ended.message()), HasSubstr("schema=2 known=1"));
  EXPECT_EQ(ProcessExitCode(first->Append(std::vector{Numbered(1)})), exit_code::kFenced);
  EXPECT_EQ(LogOf(second), FormerLog());
}

TEST_F(PostgresSchema, OfTwoThatStartAtOnceOneMigratesAndTheOtherStandsBy) {
  Sql(kFormer);
  auto gate = *PostgresConnection::Open(address_, std::chrono::seconds(10));
  ASSERT_TRUE(gate->Query("SELECT pg_advisory_lock(7)"));
  const std::string gated = std::string("SELECT pg_advisory_xact_lock(7);") + kSecond;
  const auto steps = Steps({gated.c_str()});
  std::unique_ptr<EventStore> first;
  std::jthread leads([&] { first = Open(Knowing(steps, "first")); });
  ExpectSoon([&] { return Waiting() == "1"; });
  std::atomic<bool> stands_by = false;
  auto options = Knowing(steps, "second");
  options.stands_by = [&](const std::string&) { stands_by = true; };
  std::unique_ptr<EventStore> second;
  std::jthread standby([&] { second = Open(options); });
  ExpectSoon([&] { return stands_by.load(); });
  ExpectTheFormerVersionWhole();
  gate.reset();
  leads.join();
  EXPECT_EQ(Sql("SELECT holder FROM ferment_leader"), "first");
  EXPECT_EQ(Version(), "2");
  first.reset();
  standby.join();
  EXPECT_EQ(LogOf(second), FormerLog());
}

TEST_F(PostgresSchema, OfTwoThatFindNoTablesOneMakesThemAndTheOtherWaitsForThat) {
  auto gate = *PostgresConnection::Open(address_, std::chrono::seconds(10));
  ASSERT_TRUE(gate->Query("SELECT pg_advisory_lock(1718775156, -1)"));
  std::stop_source stop;
  std::atomic<int> stand_by = 0;
  std::atomic<int> lead = 0;
  const auto start = [&] {
    auto options = Options(address_);
    options.stop = stop.get_token();
    options.stands_by = [&](const std::string&) { ++stand_by; };
    const auto store = OpenPostgresEventStore(options);
    if (store) ++lead;
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  {
    const std::jthread one(start);
    const std::jthread other(start);
    ExpectSoon([&] { return Waiting() == "2"; });
    gate.reset();
    ExpectSoon([&] { return stand_by == 1 && lead == 1; });
    stop.request_stop();
  }
  EXPECT_EQ(Version(), "1");
  EXPECT_EQ(Term(), "1");
}

TEST_F(PostgresSchema, NoStepIsTakenWhereAnotherTookTheTermInBetween) {
  Sql(kFormer);
  Sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
      "CREATE TRIGGER refuse BEFORE UPDATE ON ferment_leader FOR EACH ROW EXECUTE FUNCTION refuse()");
  auto options = Knowing(two_);
  options.stands_by = [&](const std::string&) {
    ExpectTheFormerVersionWhole();
    Sql("DROP FUNCTION refuse CASCADE");
  };
  EXPECT_EQ(LogOf(Open(options)), FormerLog());
  EXPECT_EQ(Version(), "2");
}

TEST_F(PostgresSchema, AnAppendThatHasBegunIsLetThroughBeforeTheMigration) {
  Sql(kFormer);
  const auto former = *PostgresConnection::Open(address_, std::chrono::seconds(10));
  // As an append does, in this order.
  ASSERT_TRUE(former->Query("BEGIN; LOCK TABLE ferment_leader, ferment_event IN ROW EXCLUSIVE MODE"));
  std::unique_ptr<EventStore> store;
  std::jthread migrates([&] { store = Open(Knowing(two_)); });
  ExpectSoon([&] {
    return Sql("SELECT count(*) FROM pg_locks WHERE relation = 'ferment_leader'::regclass AND NOT granted") == "1";
  });
  const auto append = former->Query("UPDATE ferment_leader SET renewed = 'epoch' WHERE term = 7; COMMIT");
  EXPECT_TRUE(append) << append.error().ToString();
  migrates.join();
  EXPECT_EQ(Version(), "2");
}

TEST_F(PostgresSchema, AStepMayTakeLongerThanAnyStatementAndThanALeaderMayBeSilent) {
  Sql(kFormer);
  const auto steps =
      Steps({"SELECT pg_sleep(1.5);"
             "DO $$ BEGIN ASSERT current_setting('statement_timeout') = '10min'; END $$;"
             "CREATE TABLE stepped AS SELECT clock_timestamp() AS at"});
  auto options = Knowing(steps);
  options.answer_limit = milliseconds(1'000);
  int again = 0;
  options.reconnected = [&] { ++again; };
  const auto store = Open(options);
  EXPECT_EQ(again, 0);
  EXPECT_EQ(Sql("SELECT renewed > at FROM ferment_leader, stepped"), "t");
}

TEST_F(PostgresSchema, ACoordinatorLostAtAnyStatementOfAMigrationLeavesTheFormerVersionOrTheNewOneWhole) {
  int former = 0;
  int newer = 0;
  ForEachLostStatement(100, [&](SessionFaults::Kind kind, int at) {
    Sql("DROP TABLE IF EXISTS ferment_schema, ferment_leader, ferment_event");
    Sql(kFormer);
    auto options = Knowing(two_);
    options.patience = milliseconds(0);
    bool happened = false;
    {
      const SessionFaults faults(kind, at);
      const auto store = OpenPostgresEventStore(options);
      happened = faults.happened();
      EXPECT_EQ(store.has_value(), !happened);
    }
    const bool migrated = Version() == "2";
    ++(migrated ? newer : former);
    if (!migrated) ExpectTheFormerVersionWhole();
    EXPECT_EQ(HasSizes(), migrated);
    EXPECT_EQ(Term(), migrated ? "8" : "7") << "the term is of the same transaction";
    EXPECT_EQ(LogOf(Open(Knowing(two_))), FormerLog()) << "whoever comes next goes on from there";
    EXPECT_EQ(Version(), "2");
    return happened;
  });
  EXPECT_GT(former, 2 * 10);
  EXPECT_GT(newer, 2);
}

}  // namespace
}  // namespace ferment::testing
