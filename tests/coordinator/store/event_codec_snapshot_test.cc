// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/event_codec_snapshot.h"

#include <gtest/gtest.h>

#include <functional>
#include <variant>
#include <vector>

#include "coordinator/core/job_book.h"
#include "coordinator/core/pipeline.h"
#include "coordinator/store/event_codec.h"

namespace ferment::coordinator {
namespace {

/// Two runs in which everything that a book can hold is there.
std::vector<Event> FullHistory() {
  const auto key = [](std::uint64_t shard, std::uint64_t epoch) { return LeaseKey{"r", "label", shard, epoch}; };
  const ShardWork work{"d", "c", "avx2", 1000, 0.5, {{"teacher", "f", "s", "labels/x"}}};
  std::vector<Event> events = {
      RunSubmitted{"r", "q", "n", "/d", "", PlanJobs({2, true}), 5},
      AttemptIntended{"r", "teacher", 1, 9},
      AttemptLaunched{"r", "teacher", 1},
      TokenTaken{"r", "teacher", 1, 3, "i", "h", 44},
      JobFailureReported{"r", "teacher", 1, {"no", 201}},
      AttemptExited{"r", "teacher", 1, 201, false},
      AttemptIntended{"r", "teacher", 2, 10},
      TokenTaken{"r", "teacher", 2, 4, "j", "h", 45},
      JobCompleted{"r", "teacher", 2, {1, 2.5, 3}, {{"teacher", "f", "s"}}, {{"loss", 0.25}}},
      AttemptExited{"r", "teacher", 2, 0, true},
      JobEnded{"r", "teacher", JobState::kSucceeded, {}, 11},
      LabelerRegistered{"a/1", "a", "1", "avx2"},
      LabelerRegistered{"b/1", "b", "1", "avx2", "h"},
      ShardsPlanned{"r", "label", work, std::vector<PlannedShard>(5000, {"", 7, 10}), 12},
      ShardLeased{key(0, 1), "a/1", 1},
      ShardCommitted{key(0, 1), "q1", {{"labels/x/0.npz", "s0"}}, {10, 5, 4, 1, {2, 3}}, 1, 2, 3, {7, 9}},
      ShardLeased{key(4999, 1), "b/1", 1},
      ShardReleased{key(4999, 1), ReleaseReason::kFailed, "q2"},
      ShardLeased{key(4999, 2), "a/1", 2},
      ShardLeased{key(1, 1), "b/1", 2},
      ShardFailed{key(1, 1), "q3", {"bad", 65, FailureCause::kPlanRefused}, {10, 0, 0, 10, {}}},
      ShardLeased{key(2, 1), "b/1", 3},
      ShardReleased{key(2, 1), ReleaseReason::kExpired, "", 4},
      ShardLeased{key(2, 2), "b/1", 4, true},
      ShardReleased{key(2, 2), ReleaseReason::kReplaced, "", 5},
      ShardLeased{key(2, 3), "b/1", 5, true},
      TeacherTripped{"r", "label", TripCause::kOperator, "no good", 13, "q9"},
      RunUpdated{"r", "q8", true, -5, 13},
      RunSubmitted{"s", "q4", "m", "/e", "", PlanJobs({1, false}), 14},
      RunCancelRequested{"s", "q5", 15},
      JobEnded{"s", "teacher", JobState::kCancelled, {"asked", 143}, 16},
      RunEnded{"s", RunState::kCancelled, {"asked", 143}, 17},
      RunReopened{"s", "q6", 18},
      RunCancelRequested{"s", "q7", 19},
      AttemptIntended{"s", "teacher", 1, 20},
      JobFailureReported{"s", "teacher", 1, {"no", 201}},
  };
  return events;
}

TEST(Snapshot, GivesAnEqualBookThroughItsBytes) {
  JobBook book;
  for (const Event& event : FullHistory()) book.Apply(event);
  JobBook read_back;
  std::size_t events = 0;
  const Status status = book.Snapshot([&](const Event& event) -> Status {
    EXPECT_TRUE(OfSnapshot(event));
    FERMENT_ASSIGN_OR_RETURN(const Event decoded, DecodeEvent(EncodeEvent(event)));
    EXPECT_EQ(decoded, event);
    read_back.Apply(decoded);
    ++events;
    return {};
  });
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(read_back, book);
  EXPECT_EQ(events, 2U + 2U + 2U + 1U) << "two runs, 5,000 shards in two parts, two labelers, requests";
  EXPECT_EQ(book.CountShards(), 5000U);
}

TEST(Snapshot, OfARunThatWasForgottenHoldsItsNumberAlone) {
  JobBook book;
  book.Apply(RunSubmitted{"r", "q", "", "/d", "", {}, 0});
  book.Apply(RunCancelRequested{"r", "c", 0});
  book.Apply(RunEnded{"r", RunState::kCancelled, {}, 0});
  book.Apply(RunForgotten{"r"});
  JobBook read_back;
  const auto take = [&](const Event& event) {
    EXPECT_EQ(event, Event(ForgottenRestored{1}));
    read_back.Apply(event);
    return Status();
  };
  ASSERT_TRUE(book.Snapshot(take).ok());
  EXPECT_EQ(read_back, book);
}

TEST(Snapshot, OfAnEmptyBookIsEmpty) {
  EXPECT_TRUE(JobBook().Snapshot([](const Event&) { return InternalError("an event"); }).ok());
}

TEST(Snapshot, StopsAtTheFirstFailureWhicheverEventItIs) {
  JobBook book;
  for (const Event& event : FullHistory()) book.Apply(event);
  for (int failing = 1; failing <= 7; ++failing) {
    int taken = 0;
    const Status status =
        book.Snapshot([&](const Event&) { return ++taken == failing ? InternalError("no") : Status(); });
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_EQ(taken, failing);
  }
}

TEST(Snapshot, GivesManyRequestsInSeveralEvents) {
  JobBook book;
  for (int i = 0; i < 5'000; ++i) {
    const std::string number = std::to_string(i);
    book.Apply(RunSubmitted{"r" + number, "q" + number, "", "", "", {}, 0});
    book.Apply(RunCancelRequested{"r" + number, "c" + number, 0});
  }
  JobBook read_back;
  std::vector<std::size_t> requests;
  const auto take = [&](const Event& event) {
    read_back.Apply(event);
    const auto* some = std::get_if<RequestsRestored>(&event);
    if (some != nullptr) requests.push_back(some->submissions.size() + some->changes.size());
    return Status();
  };
  ASSERT_TRUE(book.Snapshot(take).ok());
  EXPECT_EQ(read_back, book);
  EXPECT_EQ(requests, (std::vector<std::size_t>{4'096, 4'096, 1'808}));
  for (const std::size_t failing : {1U, 2U, 3U}) {
    std::size_t taken = 0;
    const Status status = book.Snapshot([&](const Event& event) {
      return std::holds_alternative<RequestsRestored>(event) && ++taken == failing ? InternalError("no") : Status();
    });
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_EQ(taken, failing);
  }
}

TEST(Snapshot, RefusesAListOfShardsThatIsTooShortWhicheverItIs) {
  const std::vector<std::function<void(v1::ShardsRestored&)>> columns = {
      [](auto& shards) { shards.add_state(1); },
      [](auto& shards) { shards.add_epoch(1); },
      [](auto& shards) { shards.add_labeler(0); },
      [](auto& shards) { shards.add_failures(1); },
      [](auto& shards) { shards.add_last_request_id("q"); },
      [](auto& shards) { shards.add_group("g"); },
      [](auto& shards) { shards.add_first_record(1); },
      [](auto& shards) { shards.add_record_count(1); },
      [](auto& shards) { shards.add_read(1); },
      [](auto& shards) { shards.add_labelled(1); },
      [](auto& shards) { shards.add_abstained(1); },
      [](auto& shards) { shards.add_quarantined(1); },
      [](auto& shards) { shards.add_files(""); },
  };
  for (std::size_t i = 0; i < columns.size(); ++i) {
    v1::ShardsRestored shards;
    shards.set_count(2);
    shards.add_labelers("a");
    columns[i](shards);
    const auto decoded = DecodeSnapshot(shards);
    ASSERT_FALSE(decoded) << i;
    EXPECT_EQ(decoded.error().code(), StatusCode::kDataLoss) << i;
    columns[i](shards);
    EXPECT_TRUE(DecodeSnapshot(shards)) << i;
  }
}

TEST(Snapshot, RefusesListsThatDoNotFitEachOther) {
  v1::ShardsRestored shards;
  shards.set_count(2);
  shards.add_labelers("a");
  EXPECT_TRUE(DecodeSnapshot(shards));
  shards.add_epoch(1);
  EXPECT_EQ(DecodeSnapshot(shards).error().code(), StatusCode::kDataLoss);
  shards.add_epoch(1);
  EXPECT_TRUE(DecodeSnapshot(shards));
  shards.mutable_labeler()->Resize(2, 1);
  EXPECT_EQ(DecodeSnapshot(shards).error().code(), StatusCode::kDataLoss) << "there is no second labeler";
  shards.mutable_labeler()->Clear();
  shards.mutable_state()->Resize(2, 9);
  EXPECT_EQ(ProcessExitCode(DecodeSnapshot(shards).error()), exit_code::kUnreadableState);
  shards.clear_state();
  shards.clear_epoch();
  shards.set_count(4'000'000'000U);
  EXPECT_EQ(DecodeSnapshot(shards).error().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ferment::coordinator
