// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "coordinator/store/sqlite_event_store.h"
#include "tests/contract/event_store_contract.h"
#include "tests/support/memory_event_store.h"

namespace ferment::testing {
namespace {

using coordinator::OpenSqliteEventStore;

std::filesystem::path FreshFile() {
  static std::atomic<int> count{0};
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) /
                                     ("store-" + std::to_string(getpid()) + "-" + std::to_string(++count) + ".db");
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + suffix);
  return file;
}

OpenStore FreshSqlite() {
  return [file = FreshFile()] { return OpenSqliteEventStore(file); };
}

OpenStore FreshMemory() {
  return [log = std::make_shared<MemoryLog>()]() -> Result<std::unique_ptr<coordinator::EventStore>> {
    return std::make_unique<MemoryEventStore>(log);
  };
}

INSTANTIATE_TEST_SUITE_P(Backends, EventStoreContract, ::testing::Values(&FreshSqlite, &FreshMemory),
                         [](const auto& backend) { return backend.index == 0 ? "Sqlite" : "Memory"; });

void Sql(const std::filesystem::path& file, const char* sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
  sqlite3_close(database);
}

/// Returns: how the reading of the log ends.
Status ReplayOf(const std::filesystem::path& file) {
  const auto store = OpenSqliteEventStore(file);
  EXPECT_TRUE(store) << store.error().ToString();
  return store ? (*store)->Replay([](const coordinator::Event&) { return Status(); }) : store.error();
}

TEST(SqliteEventStore, ASecondCoordinatorOnTheSameFileIsFenced) {
  const auto file = FreshFile();
  const auto first = OpenSqliteEventStore(file);
  ASSERT_TRUE(first) << first.error().ToString();
  const auto second = OpenSqliteEventStore(file);
  ASSERT_FALSE(second);
  EXPECT_EQ(ProcessExitCode(second.error()), exit_code::kFenced) << second.error().ToString();
}

TEST(SqliteEventStore, RefusesTheSchemaOfANewerVersion) {
  const auto file = FreshFile();
  ASSERT_TRUE(OpenSqliteEventStore(file));
  Sql(file, "PRAGMA user_version=99");
  const auto store = OpenSqliteEventStore(file);
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kUnreadableState) << store.error().ToString();
}

TEST(SqliteEventStore, RefusesAnotherProgramsDatabaseAndWhatIsNone) {
  const auto foreign = FreshFile();
  Sql(foreign, "CREATE TABLE theirs (x)");
  EXPECT_EQ(ProcessExitCode(OpenSqliteEventStore(foreign).error()), exit_code::kUnreadableState);
  const auto empty = FreshFile();
  Sql(empty, "PRAGMA application_id=5");
  EXPECT_EQ(ProcessExitCode(OpenSqliteEventStore(empty).error()), exit_code::kUnreadableState);
  const auto without_version = FreshFile();
  ASSERT_TRUE(OpenSqliteEventStore(without_version));
  Sql(without_version, "PRAGMA user_version=0");
  EXPECT_EQ(ProcessExitCode(OpenSqliteEventStore(without_version).error()), exit_code::kUnreadableState);
  const auto text = FreshFile();
  std::ofstream(text) << std::string(4096, 'x');
  EXPECT_EQ(ProcessExitCode(OpenSqliteEventStore(text).error()), exit_code::kUnreadableState);
}

TEST(SqliteEventStore, SaysThatAMissingFolderCannotBeWritten) {
  const auto store = OpenSqliteEventStore("/nowhere/at/all/ferment.db");
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kCannotWrite);
}

/// Fills the store in a process whose files may not grow past a limit. Returns through its exit code.
[[noreturn]] void AppendOnAFullDisk(const std::filesystem::path& file) {
  signal(SIGXFSZ, SIG_IGN);
  const auto store = OpenSqliteEventStore(file);
  const rlimit limit{1 << 20, 1 << 20};
  setrlimit(RLIMIT_FSIZE, &limit);
  coordinator::RunCancelRequested large{"run", std::string(300'000, 'x'), 0};
  for (int i = 0; i < 10; ++i) {
    const Status status = (*store)->Append(std::vector<coordinator::Event>{large});
    if (status.ok()) continue;
    const Status again = (*store)->Append(std::vector<coordinator::Event>{coordinator::RunCancelRequested{}});
    _exit(again.ok() ? exit_code::kBug : ProcessExitCode(status));
  }
  _exit(exit_code::kOk);
}

TEST(SqliteEventStore, AFullDiskEndsWith204AndWhatWasAcknowledgedIsStillThere) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto file = std::filesystem::path(::testing::TempDir()) / "full-disk.db";
  for (const char* suffix : {"", "-wal"}) std::filesystem::remove(file.string() + suffix);
  EXPECT_EXIT(AppendOnAFullDisk(file), ::testing::ExitedWithCode(exit_code::kStorageFailed), "");
  const auto store = OpenSqliteEventStore(file);
  ASSERT_TRUE(store) << store.error().ToString();
  int events = 0;
  EXPECT_TRUE((*store)->Replay([&](const coordinator::Event&) { return ++events, Status(); }).ok());
  EXPECT_GE(events, 1);
}

TEST(SqliteEventStore, RefusesTablesThatAreNotItsOwn) {
  const std::vector<std::pair<const char*, const char*>> changes = {
      {"ALTER TABLE term RENAME value TO other", "no such column: value"},
      {"ALTER TABLE event RENAME body TO other", "no column named body"}};
  for (const auto& [change, message] : changes) {
    const auto file = FreshFile();
    ASSERT_TRUE(OpenSqliteEventStore(file));
    Sql(file, change);
    const auto store = OpenSqliteEventStore(file);
    ASSERT_FALSE(store) << change;
    EXPECT_EQ(store.error().code(), StatusCode::kInternal) << store.error().ToString();
    EXPECT_NE(store.error().message().find(message), std::string::npos) << store.error().ToString();
  }
}

TEST(SqliteEventStore, WhatAnotherThanTheLatestTermWritesIsRefusedAndSoIsAllAfterIt) {
  const std::vector<coordinator::Event> batch = {coordinator::AttemptLaunched{"run", "job", 1}};
  const auto write = [&](coordinator::EventStore& store, bool append) {
    return append ? store.Append(batch) : store.Replace([](const coordinator::EventSink&) { return Status(); });
  };
  for (const bool append : {true, false}) {
    const auto file = FreshFile();
    ASSERT_TRUE(OpenSqliteEventStore(file));
    // As if a lock that does not hold, such as some network disks have, had let another in after the first event.
    Sql(file, "CREATE TRIGGER another AFTER INSERT ON event BEGIN UPDATE term SET value = value + 1; END");
    const auto store = *OpenSqliteEventStore(file);
    ASSERT_TRUE(store->Append(batch).ok());
    const Status late = write(*store, append);
    EXPECT_EQ(ProcessExitCode(late), exit_code::kFenced) << late.ToString();
    EXPECT_NE(late.message().find("term=2 latest=3"), std::string::npos) << late.ToString();
    EXPECT_EQ(write(*store, !append), late);
    int events = 0;
    EXPECT_TRUE(store->Replay([&](const coordinator::Event&) { return ++events, Status(); }).ok());
    EXPECT_EQ(events, 1);
  }
}

TEST(SqliteEventStore, SaysThatALogIsDamagedInTheMiddle) {
  const auto file = FreshFile();
  {
    const auto store = *OpenSqliteEventStore(file);
    const coordinator::RunCancelRequested large{"run", std::string(3'000, 'x'), 0};
    ASSERT_TRUE(store->Append(std::vector<coordinator::Event>(100, large)).ok());
  }
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  constexpr std::size_t kPage = 4096;
  bytes.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file) / kPage / 2 * kPage));
  bytes << std::string(16 * kPage, '\xff');
  bytes.close();
  const Status status = ReplayOf(file);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState) << status.ToString();
  EXPECT_NE(status.message().find("damaged"), std::string::npos) << status.ToString();
}

TEST(SqliteEventStore, NamesTheRowThatCannotBeRead) {
  const auto file = FreshFile();
  ASSERT_TRUE(OpenSqliteEventStore(file));
  Sql(file, "INSERT INTO event (term, body) VALUES (1, x'ff')");
  const Status status = ReplayOf(file);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("row 1"), std::string::npos) << status.message();
}

TEST(SqliteEventStore, NamesTheRowThatIsMissing) {
  for (const int gone : {1, 2}) {
    const auto file = FreshFile();
    {
      const auto store = *OpenSqliteEventStore(file);
      const std::vector<coordinator::Event> batch(3, coordinator::AttemptLaunched{"run", "job", 1});
      ASSERT_TRUE(store->Append(batch).ok());
      ASSERT_TRUE(store->Replace([&](const coordinator::EventSink& sink) { return sink(batch.front()); }).ok());
      ASSERT_TRUE(store->Append(batch).ok());
    }
    EXPECT_TRUE(ReplayOf(file).ok());
    Sql(file, ("DELETE FROM event WHERE sequence = " + std::to_string(gone)).c_str());
    const Status status = ReplayOf(file);
    EXPECT_EQ(ProcessExitCode(status), exit_code::kBadData) << status.ToString();
    EXPECT_NE(status.message().find(file.string() + ": row " + std::to_string(gone) + " is missing"),
              std::string_view::npos)
        << status.ToString();
  }
}

TEST(SqliteEventStore, NamesTheRowThatANewerVersionWrote) {
  const auto file = FreshFile();
  ASSERT_TRUE(OpenSqliteEventStore(file));
  // LabelerReturned, and in the second row a field 1023 in it.
  Sql(file, "INSERT INTO event (term, body) VALUES (1, x'ca0100'), (1, x'ca0103f83f01')");
  const Status status = ReplayOf(file);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState) << status.ToString();
  EXPECT_NE(status.message().find("row 2: a newer version wrote it"), std::string::npos) << status.message();
}

TEST(MemoryEventStore, FailsForEverAfterOneFailure) {
  auto log = std::make_shared<MemoryLog>();
  MemoryEventStore store(log);
  log->fail_next = InternalError("sync failed").WithExitCode(exit_code::kStorageFailed);
  EXPECT_FALSE(store.Append({}).ok());
  EXPECT_FALSE(store.Append({}).ok());
}

}  // namespace
}  // namespace ferment::testing
