// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_event_store.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/contract/event_store_contract.h"
#include "tests/coordinator/store/postgres_store_fixture.h"

namespace ferment::testing {
namespace {

using coordinator::Event;
using coordinator::EventStore;
using coordinator::OpenPostgresEventStore;
using std::chrono::milliseconds;

OpenStore FreshPostgres() {
  return [address = TheServer()->FreshDatabase()] { return OpenPostgresEventStore(Options(address)); };
}

std::vector<OpenStore (*)()> Installed() {
  if (!PostgresServer::Installed()) return {};
  return {&FreshPostgres};
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EventStoreContract);
INSTANTIATE_TEST_SUITE_P(Backends, EventStoreContract, ::testing::ValuesIn(Installed()),
                         [](const auto&) { return "Postgres"; });

class PostgresEventStoreTest : public PostgresStoreFixture {};

TEST_F(PostgresEventStoreTest, StandsByWhileAnotherLeadsAndLeadsWhenItsSessionEnds) {
  auto first = Open(Options(address_, "first"));
  std::atomic<bool> stood_by = false;
  auto options = Options(address_, "second");
  options.stands_by = [&](const std::string& leader) { stood_by = leader == "first"; };
  std::unique_ptr<EventStore> second;
  std::jthread standby([&] { second = Open(options); });
  while (!stood_by) std::this_thread::yield();
  ASSERT_TRUE(first->Append(std::vector{Numbered(1)}).ok());
  const std::uint64_t former = first->term();
  first.reset();
  standby.join();
  EXPECT_GT(second->term(), former);
  EXPECT_EQ(CountOf(*second), 1);
}

TEST_F(PostgresEventStoreTest, ASilentLeaderIsReplacedAndWritesNothingAfterwards) {
  auto first = Open(Options(address_, "first"));
  ASSERT_TRUE(first->Append(std::vector{Numbered(1)}).ok());
  auto options = Options(address_, "second");
  options.silence = milliseconds(200);
  const auto second = Open(options);
  ASSERT_TRUE(second->Append(std::vector{Numbered(2)}).ok());
  const Status late = first->Append(std::vector{Numbered(3)});
  EXPECT_EQ(ProcessExitCode(late), exit_code::kFenced) << late.ToString();
  EXPECT_EQ(ProcessExitCode(first->Confirm()), exit_code::kFenced);
  EXPECT_EQ(CountOf(*second), 2);
}

TEST_F(PostgresEventStoreTest, ALeaderStoppedWithinATransactionDoesNotHoldTheLead) {
  auto first = Open(Options(address_, "first"));
  ASSERT_TRUE(first->Confirm().ok());
  // What it had begun holds its row until its session is ended.
  const std::string pid = RunSql(address_, "SELECT backend FROM ferment_leader");
  EXPECT_EQ(RunSql(address_, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = " + pid), "1");
  auto options = Options(address_, "second");
  options.silence = milliseconds(200);
  const auto second = Open(options);
  EXPECT_EQ(RunSql(address_, "SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid), "0");
}

TEST_F(PostgresEventStoreTest, GoesOnInANewSessionWhereOneIsLost) {
  int again = 0;
  auto options = Options(address_);
  options.reconnected = [&] { ++again; };
  const auto store = Open(options);
  ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  RunSql(address_, "SELECT pg_terminate_backend(backend) FROM ferment_leader");
  ASSERT_TRUE(store->Append(std::vector{Numbered(2)}).ok());
  EXPECT_EQ(again, 1);
  TheServer()->Stop();
  std::jthread back([] {
    std::this_thread::sleep_for(milliseconds(300));
    TheServer()->StartAgain();
  });
  EXPECT_TRUE(store->Append(std::vector{Numbered(3)}).ok());
  EXPECT_EQ(CountOf(*store), 3);
}

TEST_F(PostgresEventStoreTest, AnAppendWhoseAnswerWasLostIsNotDoneTwice) {
  const auto store = Open(Options(address_));
  ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  // As if the next batch had been committed by a session that then died with its answer.
  RunSql(address_, "INSERT INTO ferment_event SELECT 2, term, body FROM ferment_event WHERE sequence = 1");
  EXPECT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  EXPECT_EQ(CountOf(*store), 2);
  EXPECT_TRUE(store->Append(std::vector{Numbered(2)}).ok());
  EXPECT_EQ(CountOf(*store), 3);
}

TEST_F(PostgresEventStoreTest, NamesTheRowThatCannotBeRead) {
  const auto store = Open(Options(address_));
  RunSql(address_, "INSERT INTO ferment_event VALUES (1, 1, '\\xff')");
  const Status status = store->Replay([](const Event&) { return Status(); });
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("row 1"), std::string::npos) << status.message();
}

TEST_F(PostgresEventStoreTest, NamesTheRowThatANewerVersionWrote) {
  const auto store = Open(Options(address_));
  // LabelerReturned, and in the second row a field 1023 in it.
  RunSql(address_, "INSERT INTO ferment_event VALUES (1, 1, '\\xca0100'), (2, 1, '\\xca0103f83f01')");
  const Status status = store->Replay([](const Event&) { return Status(); });
  EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState) << status.ToString();
  EXPECT_NE(status.message().find("row 2 of host="), std::string::npos) << status.message();
}

TEST_F(PostgresEventStoreTest, SaysWhichServerIsNotThereAndGivesUp) {
  auto options = Options("postgresql://ferment@/none?host=/nowhere");
  options.patience = milliseconds(200);
  const auto store = OpenPostgresEventStore(options);
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kMissingService);
  EXPECT_NE(store.error().message().find("/nowhere"), std::string::npos) << store.error().ToString();
}

TEST_F(PostgresEventStoreTest, ADatabaseThatIsNotThereIsRefusedAtOnce) {
  const auto store = OpenPostgresEventStore(Options(address_ + "&dbname=none"));
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kNotAllowed) << store.error().ToString();
}

}  // namespace
}  // namespace ferment::testing
