// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/job_book.h"

#include <gtest/gtest.h>

#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {
namespace {

RunSubmitted Submitted(const std::string& run_id = "r") {
  return {run_id, "request-" + run_id, "name", "/runs/" + run_id, "", PlanJobs({1, true}), 1000};
}

ShardsPlanned Planned(const std::string& job_id, std::size_t shards) {
  ShardsPlanned event;
  event.run_id = "r";
  event.job_id = job_id;
  event.work.lease_ms = 1000;
  event.work.models = {{"teacher", "f", "d", "o"}};
  for (std::size_t i = 0; i < shards; ++i) event.shards.push_back({"", i * 10, 10});
  return event;
}

LeaseKey Key(std::uint64_t shard, std::uint64_t epoch) { return {"r", "label", shard, epoch}; }

const Shard& ShardAt(const JobBook& book, std::uint64_t index) { return book.FindJob("r", "label")->shards[index]; }

TEST(JobBook, ARunStartsWithItsPlannedJobsPending) {
  JobBook book;
  book.Apply(Submitted());
  ASSERT_NE(book.FindRun("r"), nullptr);
  EXPECT_EQ(book.FindRun("r")->jobs.size(), 7U);
  EXPECT_EQ(book.FindJob("r", "teacher")->state, JobState::kPending);
  EXPECT_EQ(book.FindSubmission("request-r"), book.FindRun("r"));
  EXPECT_EQ(book.FindRunIn("/runs/r"), book.FindRun("r"));
  EXPECT_EQ(book.FindRun("other"), nullptr);
  EXPECT_EQ(book.FindRunIn("/runs/other"), nullptr);
  EXPECT_EQ(book.FindSubmission("other"), nullptr);
  EXPECT_EQ(book.FindJob("other", "teacher"), nullptr);
  EXPECT_EQ(book.FindJob("r", "other"), nullptr);
  EXPECT_EQ(book.FindLabelerByName("other"), nullptr);
}

TEST(JobBook, NamesTheRunsThatHaveNotEndedInOrderOfSubmission) {
  const auto submit = [](const std::string& id) { return Submitted(id); };
  const auto end = [](const std::string& id) { return RunEnded{id, RunState::kCancelled, {}, 1}; };
  JobBook book;
  for (const char* id : {"d", "c", "b", "a"}) book.Apply(submit(id));
  using Names = std::vector<std::string>;
  EXPECT_EQ(book.unfinished(), (Names{"d", "c", "b", "a"}));
  for (const char* id : {"c", "a", "b"}) book.Apply(end(id));
  EXPECT_EQ(book.unfinished(), Names{"d"});
  book.Apply(RunReopened{"b", "again", 0});
  book.Apply(RunReopened{"c", "again", 0});
  EXPECT_EQ(book.unfinished(), (Names{"d", "c", "b"}));
  book.Apply(end("d"));
  book.Apply(RunReopened{"a", "again", 0});
  EXPECT_EQ(book.unfinished(), (Names{"c", "b", "a"}));
  JobBook restored;
  ASSERT_TRUE(book.Snapshot([&](const Event& event) {
                    restored.Apply(event);
                    return Status();
                  })
                  .ok());
  EXPECT_EQ(restored.unfinished(), book.unfinished());
}

TEST(JobBook, ATrainerJobRunsEndsAndRemembersWhatItPublished) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(AttemptIntended{"r", "teacher", 1, 2000});
  EXPECT_EQ(book.FindJob("r", "teacher")->state, JobState::kRunning);
  book.Apply(AttemptLaunched{"r", "teacher", 1});
  book.Apply(TokenTaken{"r", "teacher", 1, 1, "i", "host", 5});
  book.Apply(JobCompleted{"r", "teacher", 1, {100, 2.5, 7}, {{"teacher", "file", "sha"}}, {{"loss", 0.5}}});
  book.Apply(AttemptExited{"r", "teacher", 1, 0, false});
  book.Apply(JobEnded{"r", "teacher", JobState::kSucceeded, {}, 3000});
  const Job& job = *book.FindJob("r", "teacher");
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.FindModel("teacher")->sha256, "sha");
  EXPECT_EQ(job.FindModel("student"), nullptr);
  EXPECT_EQ(job.failed_attempts, 0U);
  EXPECT_EQ(job.ended_wall_ms - job.started_wall_ms, 1000);
}

TEST(JobBook, OnlyExitsThatNobodyAskedForCountAsFailures) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(AttemptIntended{"r", "teacher", 1, 0});
  book.Apply(AttemptExited{"r", "teacher", 1, 143, true});
  EXPECT_EQ(book.FindJob("r", "teacher")->failed_attempts, 0U);
  book.Apply(AttemptIntended{"r", "teacher", 2, 0});
  book.Apply(AttemptExited{"r", "teacher", 2, 137, false});
  EXPECT_EQ(book.FindJob("r", "teacher")->failed_attempts, 1U);
}

TEST(JobBook, AShardIsLeasedReturnedAndCommittedAndItsEpochOnlyGrows) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 2));
  book.Apply(LabelerRegistered{"a", "a", "1", "avx2"});
  book.Apply(ShardLeased{Key(0, 1), "a"});
  EXPECT_EQ(book.AllLeases().size(), 1U);
  EXPECT_EQ(book.LeasesOf("b").size(), 0U);
  book.Apply(ShardReleased{Key(0, 1), ReleaseReason::kExpired, ""});
  EXPECT_EQ(ShardAt(book, 0).state, ShardState::kPending);
  book.Apply(ShardLeased{Key(0, 2), "a"});
  book.Apply(ShardCommitted{Key(0, 2), "q", {{"f", "s"}}, {10, 6, 3, 1, {6}}, 1, 2, 3});
  EXPECT_EQ(ShardAt(book, 0).state, ShardState::kCommitted);
  EXPECT_EQ(ShardAt(book, 0).epoch, 2U);
  const Job& job = *book.FindJob("r", "label");
  EXPECT_EQ(job.committed, 1U);
  EXPECT_EQ(job.records.labelled, 6U);
  EXPECT_EQ(book.FindLabeler("a")->records, 10U);
}

TEST(JobBook, CountsFailuresInARowAndWhatIsLostAtOnceAsOne) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 3));
  const auto failures = [&](const char* name) { return book.FindLabelerByName(name)->failures; };
  const auto lease = [&](std::uint64_t shard, std::uint64_t epoch, const char* labeler) {
    book.Apply(ShardLeased{Key(shard, epoch), labeler});
  };
  book.Apply(LabelerRegistered{"n/1", "n", "1", "avx2", "h"});
  lease(0, 1, "n/1");
  lease(1, 1, "n/1");
  book.Apply(ShardReleased{Key(0, 1), ReleaseReason::kFailed, "q"});
  book.Apply(ShardReleased{Key(1, 1), ReleaseReason::kReturned, ""});
  EXPECT_EQ(failures("n"), 1U);
  EXPECT_EQ(book.FindJob("r", "label")->failed_by, (std::map<std::uint64_t, std::vector<FailedBy>>{{0, {{"n", "h"}}}}));
  lease(0, 2, "n/1");
  lease(1, 2, "n/1");
  book.Apply(ShardReleased{Key(0, 2), ReleaseReason::kReplaced, ""});
  book.Apply(ShardReleased{Key(1, 2), ReleaseReason::kReplaced, ""});
  EXPECT_EQ(failures("n"), 2U) << "one death";
  book.Apply(LabelerRegistered{"n/2", "n", "2", "avx2", "h"});
  EXPECT_EQ(failures("n"), 2U) << "the next process inherits them";
  lease(2, 1, "n/2");
  book.Apply(ShardReleased{Key(2, 1), ReleaseReason::kExpired, ""});
  EXPECT_EQ(failures("n"), 3U);
  lease(0, 3, "n/2");
  book.Apply(ShardCommitted{Key(0, 3), "q", {{"f", "s"}}, {10, 10, 0, 0, {}}, 1, 2, 3});
  EXPECT_EQ(failures("n"), 0U);
  EXPECT_TRUE(book.FindJob("r", "label")->failed_by.empty());
  lease(1, 3, "n/2");
  book.Apply(ShardReleased{Key(1, 3), ReleaseReason::kFailed, "q"});
  book.Apply(LabelerRegistered{"n/3", "n", "3", "avx2", "another host"});
  EXPECT_EQ(failures("n"), 0U) << "another machine";
}

TEST(JobBook, RemembersWhatTheLastCallForLeasesGotHoweverManyThatWere) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 4));
  book.Apply(LabelerRegistered{"a", "a", "1", "avx2"});
  book.Apply(ShardLeased{Key(0, 1), "a", 7});
  book.Apply(ShardLeased{Key(1, 1), "a", 7});
  EXPECT_EQ(book.FindLabeler("a")->last_leases, (std::vector{Key(0, 1), Key(1, 1)}));
  book.Apply(ShardLeased{Key(2, 1), "a", 8});
  EXPECT_EQ(book.FindLabeler("a")->last_leases, std::vector{Key(2, 1)});
  book.Apply(ShardLeased{Key(3, 1), "a", 0});
  EXPECT_EQ(book.FindLabeler("a")->last_leases, std::vector{Key(2, 1)}) << "a call without a number";
}

TEST(JobBook, BlamesNobodyWhomItDoesNotKnow) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 3));
  const std::vector<ReleaseReason> reasons = {ReleaseReason::kFailed, ReleaseReason::kExpired,
                                              ReleaseReason::kReplaced};
  for (std::uint64_t shard = 0; shard < 3; ++shard) {
    book.Apply(ShardLeased{Key(shard, 1), "unknown"});
    book.Apply(ShardReleased{Key(shard, 1), reasons[shard], ""});
    EXPECT_EQ(ShardAt(book, shard).state, ShardState::kPending);
  }
  const Job& job = *book.FindJob("r", "label");
  EXPECT_EQ(ShardAt(book, 0).failures, 1U);
  EXPECT_TRUE(job.failed_by.empty());
  EXPECT_TRUE(job.deaths.empty());
}

TEST(JobBook, ARunReopenedWithoutARequestIdIsFoundByTheOneOfItsSubmissionAlone) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(RunEnded{"r", RunState::kFailed, {"why", 65}, 0});
  book.Apply(RunReopened{"r", "", 0});
  EXPECT_EQ(book.FindSubmission(""), nullptr);
  EXPECT_EQ(book.FindSubmission("request-r"), book.FindRun("r"));
}

TEST(JobBook, AFailedShardStaysSoUntilTheRunIsReopened) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 1));
  book.Apply(ShardLeased{Key(0, 1), "a"});
  book.Apply(ShardFailed{Key(0, 1), "q", {"damaged", 65}, {}});
  EXPECT_EQ(ShardAt(book, 0).state, ShardState::kFailed);
  EXPECT_EQ(FirstFailure(*book.FindRun("r"))->exit_code, 65);
  book.Apply(JobEnded{"r", "label", JobState::kFailed, {"damaged", 65}, 0});
  book.Apply(RunEnded{"r", RunState::kFailed, {"damaged", 65}, 0});
  book.Apply(RunReopened{"r", "again", 0});
  EXPECT_EQ(book.FindRun("r")->state, RunState::kRunning);
  EXPECT_EQ(book.FindJob("r", "label")->state, JobState::kPending);
  EXPECT_EQ(ShardAt(book, 0).state, ShardState::kPending);
  EXPECT_EQ(ShardAt(book, 0).epoch, 1U);
  EXPECT_EQ(book.FindSubmission("again"), book.FindRun("r"));
}

TEST(JobBook, AShardFailedForDeathsInALogOfBeforeGivesTheSameBook) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 2));
  for (std::uint64_t life = 1; life <= 6; ++life) {
    const std::string number = std::to_string(life);
    book.Apply(LabelerRegistered{"a/" + number, "a", number, "avx2", "h"});
    book.Apply(ShardLeased{Key(0, life), "a/" + number, 0, life > 2});
    book.Apply(ShardReleased{Key(0, life), ReleaseReason::kReplaced, ""});
  }
  ASSERT_EQ(book.FindJob("r", "label")->deaths.at(0).size(), 6U);
  const Failure failure{"shard 0 kills its labelers", 65};
  JobBook before = book;
  before.Apply(ShardFailed{Key(0, 6), "", failure, {}});
  book.Apply(ShardCondemned{Key(0, 6), failure});
  EXPECT_EQ(book, before);
  EXPECT_EQ(ShardAt(book, 0).state, ShardState::kFailed);
  const Job& job = *book.FindJob("r", "label");
  EXPECT_EQ(job.failure.message, failure.message);
  EXPECT_EQ(job.failed, 1U);
  EXPECT_EQ(job.pending, std::set<std::uint64_t>{1});
  EXPECT_TRUE(job.deaths.empty());
}

TEST(JobBook, SumsCanariesAndAStoppedTeacherStaysSo) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 2));
  for (std::uint64_t shard = 0; shard < 2; ++shard) {
    book.Apply(ShardLeased{Key(shard, 1), "a"});
    ShardCommitted committed;
    committed.key = Key(shard, 1);
    committed.canaries = {3 + shard, 20};
    book.Apply(committed);
  }
  EXPECT_EQ(book.FindJob("r", "label")->canaries, (CanaryCounts{7, 40}));
  book.Apply(TeacherTripped{"r", "label", TripCause::kAccuracy, "7 of 40", 0});
  book.Apply(JobEnded{"r", "label", JobState::kFailed, {"7 of 40", 65}, 0});
  book.Apply(RunEnded{"r", RunState::kFailed, {"7 of 40", 65}, 0});
  book.Apply(RunReopened{"r", "again", 0});
  EXPECT_EQ(book.FindJob("r", "label")->tripped, "7 of 40");
  EXPECT_EQ(book.FindJob("r", "label")->canaries.checked, 40U) << "the shards are still committed";
  book.Apply(Planned("label", 3));
  EXPECT_EQ(book.FindJob("r", "label")->canaries, CanaryCounts()) << "other shards begin anew";
}

TEST(JobBook, OtherShardsThanBeforeStartAboveEveryFormerEpoch) {
  JobBook book;
  book.Apply(Submitted());
  book.Apply(Planned("label", 2));
  book.Apply(ShardLeased{Key(1, 1), "a"});
  book.Apply(ShardReleased{Key(1, 1), ReleaseReason::kReturned, ""});
  book.Apply(ShardLeased{Key(1, 2), "a"});
  book.Apply(JobEnded{"r", "label", JobState::kCancelled, {}, 0});
  EXPECT_EQ(ShardAt(book, 1).state, ShardState::kPending) << "leases end with their job";
  book.Apply(RunEnded{"r", RunState::kCancelled, {}, 0});
  book.Apply(RunReopened{"r", "again", 0});
  book.Apply(Planned("label", 3));
  EXPECT_EQ(ShardAt(book, 0).epoch, 2U);
  EXPECT_EQ(book.FindJob("r", "label")->pending.size(), 3U);
}

TEST(JobBook, OfARunThatIsForgottenNothingStaysButItsNumber) {
  JobBook book;
  book.Apply(RunSubmitted{"other", "other's", "n", "/e", "", {}, 0});
  const JobBook before = book;
  book.Apply(Submitted());
  book.Apply(RunUpdated{"r", "up", {}, 3, 0});
  book.Apply(RunCancelRequested{"r", "stop", 0});
  book.Apply(RunCancelRequested{"other", "other's stop", 0});
  book.Apply(RunEnded{"r", RunState::kCancelled, {}, 0});
  book.Apply(RunForgotten{"r"});
  EXPECT_EQ(book.FindRun("r"), nullptr);
  EXPECT_EQ(book.FindSubmission("q"), nullptr);
  EXPECT_EQ(book.RunOfChange("up"), nullptr);
  EXPECT_EQ(book.RunOfChange("stop"), nullptr);
  EXPECT_NE(book.RunOfChange("other's stop"), nullptr) << "another run's";
  EXPECT_EQ(book.run_order(), before.run_order());
  EXPECT_EQ(book.CountSubmitted(), 2U);
}

TEST(JobBookDeathTest, ARunThatGoesOnIsNotForgotten) {
  JobBook book;
  book.Apply(Submitted());
  EXPECT_DEATH(book.Apply(RunForgotten{"r"}), "run=r");
}

TEST(JobBook, ANewIncarnationReplacesTheLabelerOfItsName) {
  JobBook book;
  book.Apply(LabelerRegistered{"n/1", "n", "1", "avx2"});
  book.Apply(LabelerRegistered{"n/2", "n", "2", "avx2"});
  EXPECT_EQ(book.FindLabeler("n/1"), nullptr);
  EXPECT_EQ(book.FindLabelerByName("n")->labeler_id, "n/2");
  book.Apply(LabelerForgotten{"n/2"});
  EXPECT_EQ(book, JobBook());
}

}  // namespace
}  // namespace ferment::coordinator
