// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/job_book.h"
#include "coordinator/core/packed_files.h"
#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {
namespace {

LeaseKey Key(std::uint64_t shard, std::uint64_t epoch) { return {"r", "label", shard, epoch}; }

RunSubmitted Submitted(const std::string& run_id) {
  return {run_id, "request-" + run_id, "name", "/runs/" + run_id, "", PlanJobs({1, true}), 1000};
}

/// Run r: its first trainer has left, of three shards the first is leased, and a job of it is over. Run over has ended.
JobBook Book() {
  ShardsPlanned planned{"r", "label", {}, std::vector<PlannedShard>(3, {"", 0, 10}), 0};
  JobBook book;
  for (const Event& event : std::vector<Event>{
           Submitted("r"), AttemptIntended{"r", "teacher", 1, 0}, TokenTaken{"r", "teacher", 1, 3, "i", "h", 1},
           AttemptExited{"r", "teacher", 1, 1, false}, planned, ShardLeased{Key(0, 1), "a"}, Submitted("over"),
           JobEnded{"r", "evaluate", JobState::kCancelled, {}, 0},
           TeacherTripped{"r", "label", TripCause::kAccuracy, "bad", 0}, RunEnded{"over", RunState::kFailed, {}, 0}}) {
    book.Apply(event);
  }
  return book;
}

TEST(JobBookDeathTest, AnEventThatCannotFollowStopsTheProcess) {
  JobBook book = Book();
  const std::vector<std::pair<Event, const char*>> impossible = {
      {Submitted("r"), "submitted twice"},
      {RunReopened{"r", "", 0}, "run=r"},
      {RunUpdated{"over", "", true, {}, 0}, "run=over"},
      {RunEnded{"over", RunState::kFailed, {}, 0}, "run=over"},
      {RunEnded{"r", RunState::kRunning, {}, 0}, "run=r"},
      {AttemptLaunched{"unknown", "teacher", 1}, "never started"},
      {AttemptLaunched{"r", "unknown", 1}, "no such job"},
      {AttemptIntended{"r", "teacher", 1, 0}, "attempt=1"},
      {AttemptIntended{"r", "evaluate", 2, 0}, "job=evaluate"},
      {AttemptLaunched{"r", "teacher", 2}, "attempt=2"},
      {TokenTaken{"r", "teacher", 2, 4, "i", "h", 1}, "attempt=2"},
      {TokenTaken{"r", "teacher", 1, 3, "i", "h", 1}, "token=3"},
      {JobCompleted{"r", "teacher", 2, {}, {}, {}}, "attempt=2"},
      {JobFailureReported{"r", "teacher", 2, {}}, "attempt=2"},
      {AttemptExited{"r", "teacher", 2, 0, false}, "attempt=2"},
      {AttemptExited{"r", "teacher", 1, 0, false}, "attempt=1"},
      {ShardsPlanned{"r", "label", {}, {}, 0}, "job=label"},
      {JobEnded{"r", "evaluate", JobState::kFailed, {}, 0}, "job=evaluate"},
      {JobEnded{"r", "label", JobState::kRunning, {}, 0}, "job=label"},
      {LabelerForgotten{"unknown"}, "labeler=unknown"},
      {LabelerReturned{"unknown"}, "labeler=unknown"},
      {ShardLeased{Key(3, 1), "b"}, "shard=3"},
      {ShardLeased{Key(0, 2), "b"}, "shard=0 epoch=2"},
      {ShardLeased{Key(1, 2), "b"}, "shard=1 epoch=2"},
      {ShardReleased{Key(3, 1), ReleaseReason::kReturned, ""}, "shard=3"},
      {ShardReleased{Key(0, 2), ReleaseReason::kReturned, ""}, "epoch=2 held=1"},
      {ShardReleased{Key(1, 0), ReleaseReason::kReturned, ""}, "shard=1"},
      {ShardFailed{Key(3, 1), "", {}, {}}, "shard=3"},
      {ShardFailed{Key(1, 1), "", {}, {}}, "shard=1"},
      {ShardCondemned{Key(0, 1), {"not pending", 65}}, "shard=0"},
      {ShardCondemned{{"r", "unknown", 0, 1}, {"no job", 65}}, "job=unknown"},
      {TeacherTripped{"r", "cotrain", TripCause::kAccuracy, "bad", 0}, "job=cotrain"},
      {TeacherTripped{"r", "label", TripCause::kAccuracy, "again", 0}, "job=label"},
      {TeacherTripped{"over", "label", TripCause::kAccuracy, "", 0}, "job=label"},
      {RunRestored{RunSummary(*book.FindRun("r")), {}}, "restored twice"},
      {ShardsRestored{"unknown", "label", {}}, "shards of no run"},
      {ShardsRestored{"r", "unknown", {}}, "shards of no job"},
  };
  for (const auto& [event, message] : impossible) {
    SCOPED_TRACE(message);
    EXPECT_DEATH(book.Apply(event), message);
  }
}

TEST(JobBookDeathTest, FilesThatCannotBePackedOrUnpackedStopTheProcess) {
  std::vector<std::string> folders;
  const std::string torn("a\0b", 3);
  EXPECT_DEATH(PackedFiles(std::vector<ResultFile>{{torn, ""}}, folders), "file=");
  EXPECT_DEATH(PackedFiles(std::vector<ResultFile>{{"f", torn}}, folders), "file=f");
  const PackedFiles packed(std::vector<ResultFile>{{"labels/f", "s"}}, folders);
  EXPECT_DEATH((void)packed.Unpack({}), "number=0");
}

TEST(JobBookDeathTest, AnExitThatHasNotHappenedIsNotJudged) {
  const JobBook book = Book();
  EXPECT_DEATH((void)JudgeExit(*book.FindRun("r"), *book.FindJob("r", "finetune")), "job=finetune");
}

}  // namespace
}  // namespace ferment::coordinator
