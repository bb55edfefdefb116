// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <variant>

#include "coordinator/core/job_book.h"
#include "coordinator/core/pipeline.h"
#include "coordinator/store/sqlite_event_store.h"
#include "ferment/v1/run_spec.pb.h"

namespace ferment::coordinator {
namespace {

/// The log of a store that a former version wrote. The store is copied, as opening one writes to it.
std::vector<Event> LogOf(const std::string& name) {
  const auto copy = std::filesystem::path(::testing::TempDir()) / ("golden-" + std::to_string(getpid()) + ".db");
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(copy.string() + suffix);
  std::filesystem::copy_file(std::filesystem::path(FERMENT_FIXTURES) / "golden" / name, copy);
  std::vector<Event> log;
  const auto store = OpenSqliteEventStore(copy);
  EXPECT_TRUE(store) << store.error().ToString();
  if (!store) return log;
  EXPECT_EQ((*store)->term(), 2U);
  const Status status = (*store)->Replay([&](const Event& event) {
    log.push_back(event);
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  return log;
}

/// What 2026-11-25 had of events, as this version has them.
std::vector<Event> FirstKinds() {
  const LeaseKey key{"r", "label", 3, 9};
  return {
      RunSubmitted{"r", "q", "n", "/d", "", PlanJobs({2, false}), 5},
      RunReopened{"r", "q", 6},
      RunCancelRequested{"r", "q", 7},
      RunEnded{"r", RunState::kFailed, {"why", 65}, 8},
      AttemptIntended{"r", "teacher", 2, 9},
      AttemptLaunched{"r", "teacher", 2},
      TokenTaken{"r", "teacher", 2, 3, "i", "h", 44},
      JobCompleted{"r", "teacher", 2, {1, 2.5, 3}, {{"teacher", "f", "s"}}, {{"loss", 0.25}}},
      JobFailureReported{"r", "teacher", 2, {"no", 78}},
      AttemptExited{"r", "teacher", 2, 137, true},
      ShardsPlanned{"r", "label", {"d", "c", "avx2", 1000, 0.5, {{"teacher", "f", "s", "o"}}}, {{"g", 1, 2}}, 10},
      JobEnded{"r", "label", JobState::kCancelled, {"x", 143}, 11},
      LabelerRegistered{"l", "n", "i", "avx2"},
      ShardLeased{key, "l"},
      ShardReleased{key, ReleaseReason::kReplaced, "q"},
      ShardCommitted{key, "q", {{"f", "s"}}, {10, 5, 4, 1, {2, 3}}, 1.5, 2.5, 3},
      ShardFailed{key, "q", {"bad", 65}, {1, 0, 0, 1, {}}},
  };
}

/// The same of 2026-11-27.
std::vector<Event> SecondKinds() {
  const LeaseKey key{"r", "label", 3, 9};
  std::vector<Event> events = FirstKinds();
  std::get<ShardCommitted>(events[15]).canaries = {7, 9};
  events.push_back(TeacherTripped{"r", "label", TripCause::kCollapsed, "one class", 12, "q"});
  events.push_back(LabelerForgotten{"l"});
  events.push_back(RunRestored{});
  events.push_back(ShardsRestored{"r", "label", {}});
  events.push_back(LabelerRestored{{"l", "n", "i", "avx2", 3, 30, 2, {key}}});
  events.push_back(RequestsRestored{{{"q", "r"}}, {{"c", ""}}});
  events.push_back(RunUpdated{"r", "q", false, -7, 12});
  return events;
}

void ExpectKinds(const std::string& name, const std::vector<Event>& expected) {
  std::vector<Event> log = LogOf(name);
  ASSERT_EQ(log.size(), expected.size());
  auto& submitted = std::get<RunSubmitted>(log.front());
  v1::RunSpec spec;
  ASSERT_TRUE(spec.ParseFromString(submitted.spec));
  EXPECT_EQ(spec.classes_size(), 8) << "of examples/demo.yaml";
  EXPECT_GT(spec.cotrain().rounds(), 0U);
  submitted.spec.clear();
  for (std::size_t i = 0; i < log.size(); ++i) EXPECT_EQ(log[i], expected[i]) << i;
}

TEST(GoldenLog, EveryKindOfFormerVersionsIsReadAsItWasMeant) {
  ExpectKinds("2026-11-25/kinds.db", FirstKinds());
  ExpectKinds("2026-11-27/kinds.db", SecondKinds());
}

TEST(GoldenLog, AHistoryOfAFormerVersionAndItsSnapshotGiveTheSameRuns) {
  for (const char* name : {"2026-11-27/history.db", "2026-11-27/snapshot.db"}) {
    SCOPED_TRACE(name);
    JobBook book;
    for (const Event& event : LogOf(name)) book.Apply(event);
    ASSERT_NE(book.FindRun("r"), nullptr);
    ASSERT_NE(book.FindRun("s"), nullptr);
    EXPECT_EQ(book.CountShards(), 50U);
    const auto& run = *book.FindRun("r");
    EXPECT_TRUE(run.suspended);
    EXPECT_EQ(run.priority, -5);
    const Job& teacher = *run.FindJob("teacher");
    EXPECT_EQ(teacher.state, JobState::kSucceeded);
    EXPECT_EQ(teacher.attempt.number, 2U);
    EXPECT_EQ(teacher.attempt.token, 4U);
    EXPECT_EQ(teacher.metrics.at("loss"), 0.25);
    const Job& label = *run.FindJob("label");
    EXPECT_EQ(label.records.read, 10U);
    EXPECT_EQ(label.records.labelled, 5U);
    EXPECT_EQ(book.FindSubmission("q4"), book.FindRun("s"));
    EXPECT_TRUE(book.FindRun("s")->cancel_requested);
    EXPECT_EQ(book.unfinished().size(), 2U);
  }
}

}  // namespace
}  // namespace ferment::coordinator
