// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "coordinator/store/sqlite_event_store.h"
#include "tests/support/crash_images.h"

namespace ferment::testing {
namespace {

using coordinator::Event;
using coordinator::EventSink;
using coordinator::EventStore;
using coordinator::OpenSqliteEventStore;
using coordinator::RunCancelRequested;

using Log = std::vector<Event>;

/// Two events, of which a page holds one.
Log Batch(int number) {
  const std::string text(3'000, static_cast<char>('a' + number % 26));
  return {RunCancelRequested{"first", text, number}, RunCancelRequested{"second", text, number}};
}

/// What a snapshot leaves of the log.
Log Snapshot(int number, std::size_t bytes) {
  return {RunCancelRequested{"snapshot", std::string(bytes, static_cast<char>('a' + number % 26)), number}};
}

Result<Log> ReadAll(EventStore& store) {
  Log log;
  FERMENT_RETURN_IF_ERROR(store.Replay([&](const Event& event) {
    log.push_back(event);
    return Status();
  }));
  return log;
}

/// A store, the log that it must show, and that which it may show while a step is under way.
class Life {
 public:
  explicit Life(const std::filesystem::path& folder) : file_(folder / "ferment.db"), logs_({{}}), images_(folder) {
    Open();
  }

  void Open() {
    store_ = nullptr;
    auto opened = OpenSqliteEventStore(file_);
    ASSERT_TRUE(opened) << opened.error().ToString();
    store_ = *std::move(opened);
  }
  void Close() { store_ = nullptr; }
  void Append(int number) {
    Log log = logs_.back();
    for (Event& event : Batch(number)) log.push_back(std::move(event));
    Acknowledged(store_->Append(Batch(number)), std::move(log));
  }
  void Replace(int number, std::size_t bytes) {
    const Log snapshot = Snapshot(number, bytes);
    Acknowledged(store_->Replace([&](const EventSink& sink) { return sink(snapshot.front()); }), snapshot);
  }
  int steps() const { return static_cast<int>(logs_.size()) - 1; }
  /// No image is made from before so many steps.
  CrashReport Try(int seeds, int from, const std::function<std::string(const Log& log)>& look) {
    store_ = nullptr;
    images_.Stop();
    EXPECT_TRUE(images_.SawAll());
    return images_.Try(
        seeds,
        [&](int acknowledged) -> std::string {
          const auto log = ReadBack();
          if (!log) return log.error().ToString();
          const auto step = static_cast<std::size_t>(acknowledged);
          if (*log != logs_[step] && (step + 1 == logs_.size() || *log != logs_[step + 1])) {
            return "another log, of " + std::to_string(log->size()) + " events";
          }
          return look(*log);
        },
        from);
  }

 private:
  void Acknowledged(const Status& status, Log log) {
    ASSERT_TRUE(status.ok()) << status.ToString();
    logs_.push_back(std::move(log));
    images_.Acknowledge();
  }
  Result<Log> ReadBack() const {
    FERMENT_ASSIGN_OR_RETURN(const auto store, OpenSqliteEventStore(file_));
    return ReadAll(*store);
  }

  const std::filesystem::path file_;
  /// After so many steps.
  std::vector<Log> logs_;
  CrashImages images_;
  std::unique_ptr<EventStore> store_;
};

class Sqlite {
 public:
  explicit Sqlite(const std::filesystem::path& file) { EXPECT_EQ(sqlite3_open(file.c_str(), &database_), SQLITE_OK); }
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;
  ~Sqlite() { sqlite3_close(database_); }

  /// Returns: the first column of the last row, or what went wrong.
  std::string Ask(const std::string& sql) const {
    std::string answer;
    const auto keep = [](void* kept, int, char** columns, char**) {
      *static_cast<std::string*>(kept) = columns[0] == nullptr ? "" : columns[0];
      return 0;
    };
    return sqlite3_exec(database_, sql.c_str(), keep, &answer, nullptr) == SQLITE_OK ? answer
                                                                                     : sqlite3_errmsg(database_);
  }

 private:
  sqlite3* database_ = nullptr;
};

class StorePowerCut : public ::testing::Test {
 protected:
  ~StorePowerCut() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path file() const { return folder_ / "ferment.db"; }
  /// Says what SQLite finds wrong with the file.
  std::string Damage() const {
    const std::string answer = Sqlite(file()).Ask("PRAGMA integrity_check");
    return answer == "ok" ? "" : "integrity_check: " + answer;
  }
  std::string GoOn(int number) const {
    const auto store = OpenSqliteEventStore(file());
    return store && (*store)->Append(Batch(number)).ok() ? "" : "it does not go on";
  }

  const std::filesystem::path folder_ = FreshImageFolder("store-power-cut");
};

TEST_F(StorePowerCut, KeepsWhatWasAcknowledgedAndOfTheBatchUnderWayAllOrNothing) {
  Life life(folder_);
  for (int number = 0; number < 2; ++number) life.Append(number);
  life.Replace(2, 9'000);
  life.Append(3);
  life.Close();
  life.Open();
  life.Append(4);
  life.Replace(5, 100);
  life.Append(6);
  const CrashReport report = life.Try(4, 0, [&](const Log&) {
    const std::string stuck = GoOn(7);
    return stuck.empty() ? Damage() : stuck;
  });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(report.images, 800);
}

// SQLite moves a thousand pages at once from its write-ahead log into the file, and then begins the log anew.
TEST_F(StorePowerCut, LosesNothingWhereTheWriteAheadLogIsEmptied) {
  Life life(folder_);
  const auto log_bytes = [this] { return std::filesystem::file_size(file().string() + "-wal"); };
  while (log_bytes() < 4'000'000) life.Replace(life.steps(), 40'000);
  const int before = life.steps();
  for (int number = 0; number < 3; ++number) life.Replace(number, 40'000);
  for (int number = 0; number < 2; ++number) life.Append(number);
  EXPECT_LT(log_bytes(), 4'200'000U) << "it was begun anew";
  const CrashReport report = life.Try(1, before, [&](const Log&) { return Damage(); });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(report.images, 300);
}

TEST_F(StorePowerCut, ASecondCutWhileItRecoversTakesNothingOfWhatTheFirstHadLeft) {
  Life life(folder_);
  life.Append(0);
  life.Replace(1, 9'000);
  life.Append(2);
  int number = 0;
  int images = 0;
  const CrashReport report = life.Try(2, 0, [&](const Log& found) -> std::string {
    if (++number % 20 != 0) return "";
    Log longer = found;
    for (Event& event : Batch(9)) longer.push_back(std::move(event));
    CrashImages again(folder_);
    std::string wrong = GoOn(9);
    again.Acknowledge();
    again.Stop();
    const CrashReport second = again.Try(1, [&](int acknowledged) -> std::string {
      const auto store = OpenSqliteEventStore(file());
      if (!store) return store.error().ToString();
      const auto log = ReadAll(**store);
      if (!log) return log.error().ToString();
      return *log == longer || (acknowledged == 0 && *log == found) ? "" : "another log";
    });
    images += second.images;
    return wrong + second.first;
  });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(images, 300);
}

TEST_F(StorePowerCut, ACoordinatorThatGoesOnWhereOneWasKilledRestsOnNothingThatIsNotSynced) {
  int tried = 0;
  for (int call = 1;; ++call) {
    SCOPED_TRACE("killed at call " + std::to_string(call));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    CrashImages images(folder_);
    const bool killed = images.Kill(call, [&] {
      const auto store = OpenSqliteEventStore(file());
      if (store && (*store)->Append(Batch(0)).ok()) (void)(*store)->Append(Batch(1));
    });
    if (!killed) break;
    Log kept;
    {
      const auto store = OpenSqliteEventStore(file());
      ASSERT_TRUE(store) << store.error().ToString();
      kept = *ReadAll(**store);
      images.Acknowledge();
      ASSERT_TRUE((*store)->Append(Batch(2)).ok());
    }
    images.Stop();
    EXPECT_TRUE(images.SawAll());
    Log longer = kept;
    for (Event& event : Batch(2)) longer.push_back(std::move(event));
    const CrashReport report = images.Try(
        0,
        [&](int) -> std::string {
          const auto store = OpenSqliteEventStore(file());
          if (!store) return store.error().ToString();
          const auto log = ReadAll(**store);
          return log && (*log == kept || *log == longer) ? "" : "another log than the next one had read";
        },
        /*from=*/1);
    EXPECT_EQ(report.broken, 0) << report.first;
    ++tried;
  }
  EXPECT_GT(tried, 30);
}

/// What the images find of rows written by the same SQLite, less careful.
CrashReport RowsOf(const std::filesystem::path& folder, const std::string& synchronous) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  CrashImages images(folder);
  {
    const Sqlite database(folder / "rows.db");
    database.Ask("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=" + synchronous +
                 "; CREATE TABLE row (body)");
    for (int row = 0; row < 3; ++row) {
      EXPECT_EQ(database.Ask("INSERT INTO row VALUES (zeroblob(5000)) RETURNING 'made'"), "made");
      images.Acknowledge();
    }
  }
  images.Stop();
  return images.Try(2, [&](int acknowledged) {
    const std::string rows = Sqlite(folder / "rows.db").Ask("SELECT count(*) FROM row");
    const bool kept =
        acknowledged == 0 || rows == std::to_string(acknowledged) || rows == std::to_string(acknowledged + 1);
    return kept ? "" : "rows: " + rows;
  });
}

TEST_F(StorePowerCut, ImagesCatchAStoreThatSyncsLess) {
  EXPECT_EQ(RowsOf(folder_, "FULL").broken, 0);
  EXPECT_GT(RowsOf(folder_, "NORMAL").broken, 0);
  EXPECT_GT(RowsOf(folder_, "OFF").broken, 0);
}

}  // namespace
}  // namespace ferment::testing
