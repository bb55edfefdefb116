// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "coordinator/core/job_book.h"
#include "coordinator/store/event_codec.h"
#include "coordinator/store/postgres_event_store.h"
#include "coordinator/store/sqlite_event_store.h"
#include "tests/chaos/chaos_oracle.h"
#include "tests/support/postgres_server.h"

namespace ferment::chaos {
namespace {

using namespace coordinator;  // NOLINT(google-build-using-namespace): events by their names
namespace fs = std::filesystem;

Event Submitted(const std::string& run_id) {
  return RunSubmitted{.run_id = run_id,
                      .request_id = "request-" + run_id,
                      .name = "r",
                      .run_dir = "/runs/" + run_id,
                      .spec = {},
                      .jobs = {{"teacher", Phase::kTeacher, 0, {}, false}}};
}

/// Two runs, a snapshot of both, and a third run after it.
class KeptStoreTest : public ::testing::Test {
 protected:
  void Fill(const StoreAddress& address, const std::function<Result<std::unique_ptr<EventStore>>()>& open) {
    { ASSERT_TRUE(open().has_value()); }
    ASSERT_TRUE(KeepEveryRow(address).ok());
    auto store = open();
    ASSERT_TRUE(store.has_value());
    JobBook book;
    const auto add = [&](const Event& event) {
      book.Apply(event);
      ASSERT_TRUE((*store)->Append({&event, 1}).ok());
    };
    add(Submitted("r-1"));
    add(Submitted("r-2"));
    ASSERT_TRUE((*store)->Replace([&](const EventSink& sink) { return book.Snapshot(sink); }).ok());
    add(Submitted("r-3"));
  }
  void FillSqlite() {
    address_.sqlite = fs::path(::testing::TempDir()) / "kept.db";
    for (const char* tail : {"", "-wal", "-shm"}) fs::remove(address_.sqlite.string() + tail);
    Fill(address_, [&] { return OpenSqliteEventStore(address_.sqlite); });
  }
  /// All rows that were ever added, and those that a coordinator would read.
  void CheckRows() {
    const auto kept = ReadKeptStore(address_);
    ASSERT_TRUE(kept.has_value()) << kept.error().ToString();
    std::vector<std::string> submitted;
    for (const StoredRow& row : kept->all) {
      EXPECT_EQ(row.sequence, &row - kept->all.data() + 1);
      const auto event = DecodeEvent(row.body);
      ASSERT_TRUE(event.has_value());
      if (const auto* one = std::get_if<RunSubmitted>(&*event)) submitted.push_back(one->run_id);
    }
    EXPECT_EQ(submitted, (std::vector<std::string>{"r-1", "r-2", "r-3"}));
    EXPECT_GT(kept->all.size(), kept->present.size());
    std::vector<Breach> breaches;
    JudgeSnapshot(*kept, breaches);
    EXPECT_TRUE(breaches.empty()) << breaches.front().what;
    const LogFacts facts = JudgeLog(kept->all, breaches);
    EXPECT_TRUE(breaches.empty()) << breaches.front().what;
    EXPECT_EQ(facts.runs.size(), 3U);
    EXPECT_GT(StoreBytes(address_).value_or(0), 0);
  }

  StoreAddress address_;
};

TEST_F(KeptStoreTest, KeepsTheRowsOfSqliteThatASnapshotReplaced) {
  FillSqlite();
  CheckRows();
}

TEST_F(KeptStoreTest, KeepsTheRowsOfPostgresThatASnapshotReplaced) {
  const auto server = testing::PostgresServer::Start();
  if (server == nullptr) GTEST_SKIP() << "PostgreSQL 15 is not installed";
  address_.postgres = server->FreshDatabase();
  Fill(address_, [&] { return OpenPostgresEventStore({.address = address_.postgres, .holder = "test"}); });
  CheckRows();
}

TEST_F(KeptStoreTest, CatchesASnapshotThatLeavesOutARun) {
  FillSqlite();
  auto kept = ReadKeptStore(address_);
  ASSERT_TRUE(kept.has_value());
  std::erase_if(kept->present, [](const StoredRow& row) {
    const auto event = DecodeEvent(row.body);
    const auto* run = event ? std::get_if<RunRestored>(&*event) : nullptr;
    return run != nullptr && run->run.run_id == "r-2";
  });
  std::vector<Breach> breaches;
  JudgeSnapshot(*kept, breaches);
  ASSERT_EQ(breaches.size(), 1U);
  EXPECT_EQ(breaches.front().promise, "P2");
}

}  // namespace
}  // namespace ferment::chaos
