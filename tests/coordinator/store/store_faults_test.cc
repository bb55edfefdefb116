// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "coordinator/store/sqlite_event_store.h"
#include "tests/support/crash_images.h"
#include "tests/support/disk_fault_sweep.h"

namespace ferment::testing {
namespace {

using coordinator::Event;
using coordinator::EventSink;
using coordinator::EventStore;
using coordinator::OpenSqliteEventStore;

/// More calls than a store's life of these tests takes.
constexpr int kMostCalls = 500;
constexpr int kBatches = 6;
/// Before this batch the log is replaced.
constexpr int kCompactBefore = 4;

/// Two events, large enough that a page does not hold them.
std::vector<Event> Batch(int number) {
  const std::string text(3'000, static_cast<char>('a' + number));
  return {coordinator::RunCancelRequested{"first", text, number},
          coordinator::RunCancelRequested{"second", text, number}};
}

/// The log that a store has after so many acknowledged steps, of which one is the snapshot.
std::vector<Event> LogAfter(int steps) {
  std::vector<Event> log;
  int batch = 0;
  for (int step = 0; step < steps; ++step) {
    if (step == kCompactBefore) {
      log = {coordinator::RunCancelRequested{"snapshot", "", batch}};
      continue;
    }
    for (Event& event : Batch(batch)) log.push_back(std::move(event));
    ++batch;
  }
  return log;
}

/// Opens the store and makes its steps. Returns: how it failed. `acknowledged`: steps that the store said were safe.
Status Live(
    const std::filesystem::path& file, volatile int* acknowledged, const std::function<void()>& mark = [] {}) {
  FERMENT_ASSIGN_OR_RETURN(const std::unique_ptr<EventStore> store, OpenSqliteEventStore(file));
  int batch = 0;
  for (int step = 0; step <= kBatches; ++step) {
    const Status status = step == kCompactBefore ? store->Replace([&](const EventSink& sink) {
      return sink(coordinator::RunCancelRequested{"snapshot", "", batch});
    })
                                                 : store->Append(Batch(batch++));
    if (!status.ok()) {
      EXPECT_FALSE(store->Append(Batch(9)).ok()) << "after a failure nothing is taken any more";
      return status;
    }
    *acknowledged = step + 1;
    mark();
  }
  return {};
}

std::vector<Event> ReadBack(const std::filesystem::path& file) {
  const auto store = OpenSqliteEventStore(file);
  EXPECT_TRUE(store) << store.error().ToString();
  std::vector<Event> log;
  if (!store) return log;
  const Status status = (*store)->Replay([&](const Event& event) {
    log.push_back(event);
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  return log;
}

/// What was acknowledged is there; of the step that was under way, all or nothing.
void ExpectNothingLost(const std::filesystem::path& file, int acknowledged) {
  const std::vector<Event> log = ReadBack(file);
  EXPECT_TRUE(log == LogAfter(acknowledged) || (acknowledged <= kBatches && log == LogAfter(acknowledged + 1)))
      << "acknowledged=" << acknowledged << " events=" << log.size();
}

/// Returns: what SQLite answers, the first column of its rows.
std::string AnswerOf(const std::filesystem::path& file, const char* sql) {
  sqlite3* database = nullptr;
  std::string answer;
  EXPECT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(
                database, sql,
                [](void* to, int, char** values, char**) {
                  *static_cast<std::string*>(to) += values[0];
                  return 0;
                },
                &answer, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
  return answer;
}

class StoreFaults : public ::testing::Test {
 protected:
  std::filesystem::path FreshFile(int call) {
    const auto folder = std::filesystem::path(::testing::TempDir()) / ("store-faults-" + std::to_string(getpid())) /
                        std::to_string(call);
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    return folder / "ferment.db";
  }

  /// Returns: what a store's life changes on the disk, with a mark after each acknowledged step.
  std::vector<DiskChange> RecordedLife() {
    const auto file = FreshFile(0);
    int acknowledged = 0;
    DiskTape tape(file.parent_path());
    EXPECT_TRUE(Live(file, &acknowledged, [&] { tape.Mark(); }).ok());
    return tape.changes();
  }

  /// Does `work` with a fresh file in a child that is killed at its 1st, 2nd, 3rd ... disk call, until one meets none;
  /// `look` sees each file afterwards. Counts in `killed`.
  void KillAtEachDiskCall(const std::function<bool(const std::filesystem::path&)>& work,
                          const std::function<void(const std::filesystem::path&)>& look, int* killed) {
    for (int call = 1;; ++call) {
      SCOPED_TRACE("call=" + std::to_string(call));
      ASSERT_LT(call, kMostCalls);
      const auto file = FreshFile(call);
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        const DiskFaults faults(file.parent_path(), DiskFaults::Kind::kKill, call);
        _exit(work(file) ? 0 : 1);
      }
      int ended = 0;
      ASSERT_EQ(waitpid(child, &ended, 0), child);
      look(file);
      std::filesystem::remove_all(file.parent_path());
      if (WIFEXITED(ended)) {
        EXPECT_EQ(WEXITSTATUS(ended), 0);
        break;
      }
      ++*killed;
    }
  }
};

TEST_F(StoreFaults, EachDiskCallThatFailsEndsTheStoreWith204AndLosesNothingAcknowledged) {
  const int failed = SweepDiskFaults([&](const DiskFault& fault) {
    const auto file = FreshFile(fault.at);
    int acknowledged = 0;
    Status status;
    const bool happened = fault.Strike(file.parent_path(), [&] { status = Live(file, &acknowledged); });
    ExpectNothingLost(file, acknowledged);
    std::filesystem::remove_all(file.parent_path());
    const int code = ProcessExitCode(status);
    // It goes well where a close fails, or a truncation that may come later.
    EXPECT_TRUE(status.ok() || code == exit_code::kStorageFailed ||
                (acknowledged == 0 && code == exit_code::kCannotWrite))
        << status.ToString();
    return Struck{happened, !status.ok()};
  });
  EXPECT_GT(failed, 5 * 2 * kBatches) << "at least a write and a sync of each step, in each of five ways";
}

TEST_F(StoreFaults, APowerCutLosesNothingAcknowledged) {
  const std::vector<DiskChange> changes = RecordedLife();
  const auto image = ImageFolder();
  EXPECT_GT(ForEachCrash(changes, image,
                         [&](int before) {
                           ExpectNothingLost(image / "ferment.db", before);
                           EXPECT_EQ(AnswerOf(image / "ferment.db", "PRAGMA integrity_check"), "ok");
                         }),
            900);
}

/// An append that is told before its sync, and what tells it.
TEST_F(StoreFaults, APowerCutTellsOfAnAppendThatWasNotSynced) {
  std::vector<DiskChange> changes = RecordedLife();
  std::erase_if(changes, [](const DiskChange& change) { return change.kind == DiskChange::Kind::kSync; });
  const auto image = ImageFolder();
  int lost = 0;
  ForEachCrash(changes, image, [&](int before) {
    const auto store = OpenSqliteEventStore(image / "ferment.db");
    std::size_t events = 0;
    const Status status = !store ? store.error() : (*store)->Replay([&](const Event&) {
      ++events;
      return Status();
    });
    if (!status.ok() || events < LogAfter(before).size()) ++lost;
  });
  EXPECT_GT(lost, 20);
}

TEST_F(StoreFaults, AKillBeforeAnyDiskCallLosesNothingAcknowledged) {
  auto* acknowledged =
      static_cast<volatile int*>(mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(acknowledged, MAP_FAILED);
  int killed = 0;
  KillAtEachDiskCall(
      [&](const auto& file) {
        *acknowledged = 0;
        return Live(file, acknowledged).ok();
      },
      [&](const auto& file) { ExpectNothingLost(file, *acknowledged); }, &killed);
  EXPECT_GT(killed, 3 * kBatches);
  munmap(const_cast<int*>(acknowledged), sizeof(int));
}

TEST_F(StoreFaults, AKillWhileAFileIsMigratedLeavesTheFormerVersionOrTheNewOneWhole) {
  int former = 0;
  int newer = 0;
  int killed = 0;
  KillAtEachDiskCall([](const auto& file) { return OpenSqliteEventStore(file).has_value(); },
                     [&](const auto& file) {
                       const bool migrated = AnswerOf(file, "PRAGMA user_version") != "0";
                       EXPECT_EQ(AnswerOf(file, "SELECT count(*) FROM sqlite_master"), migrated ? "2" : "0");
                       EXPECT_EQ(AnswerOf(file, "PRAGMA application_id") != "0", migrated);
                       if (migrated) {
                         EXPECT_EQ(AnswerOf(file, "SELECT value FROM term"), "1")
                             << "the term is of the same transaction";
                       }
                       ++(migrated ? newer : former);
                       EXPECT_TRUE(OpenSqliteEventStore(file)) << "whoever comes next goes on from there";
                     },
                     &killed);
  EXPECT_GT(former, 3);
  EXPECT_GT(newer, 1);
}

}  // namespace
}  // namespace ferment::testing
