// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/run_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "common/base/json.h"
#include "tests/support/engine_test.h"

namespace ferment::coordinator {
namespace {

using ::ferment::testing::SmallSpec;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

constexpr char kRunDir[] = "/runs/small";

class RunEngineTest : public ::ferment::testing::EngineTest {
 protected:
  std::string Submit(const RunSpec& spec = SmallSpec(), const std::string& request = "submit") {
    const auto run_id = engine()->runs().Submit({request, spec, kRunDir});
    EXPECT_TRUE(run_id) << run_id.error().ToString();
    Settle();
    return *run_id;
  }
  const ferment::coordinator::Run& TheRun() { return *engine()->book().FindRun(run_id_); }
  const Job& JobNamed(std::string_view job_id) { return *TheRun().FindJob(job_id); }

  TokenKey TakeToken(const std::string& job_id, std::uint32_t attempt) {
    const auto token =
        engine()->trainers().TakeToken({run_id_, job_id, attempt, "incarnation", "host", 1, TheRun().run_dir});
    EXPECT_TRUE(token) << token.error().ToString();
    return {run_id_, job_id, token.value_or(0)};
  }
  /// Plays a trainer that does its work and leaves well.
  void FinishTrainer(const std::string& job_id, std::uint32_t attempt = 1) {
    const TokenKey key = TakeToken(job_id, attempt);
    const TrainerResult result{
        {64, 1.5, 1000},
        {{"teacher", job_id + ".t", "t"}, {"student", job_id + ".s", "s"}, {"baseline", job_id + ".b", "b"}},
        {{"loss", 0.5}}};
    EXPECT_TRUE(engine()->trainers().Complete(key, result).ok());
    world_.launcher.Exit(job_id + "/" + std::to_string(attempt), 0);
    Settle();
  }
  std::string Register(const std::string& incarnation = "1") { return TakeName({"labeler", incarnation, "avx2"}); }
  GrantedLease LeaseOne(const std::string& labeler) {
    const auto answer = engine()->leases().Lease({labeler, 1});
    EXPECT_TRUE(answer) << answer.error().ToString();
    EXPECT_EQ(answer->leases.size(), 1U);
    return answer->leases.at(0);
  }
  static ShardResult ResultOf(const GrantedLease& lease, const std::string& sha = "sha") {
    ShardResult result;
    result.request_id = "commit-" + std::to_string(lease.key.shard);
    result.key = lease.key;
    result.files = {{lease.job->work.models.at(0).output_dir + "/" + sha + ".npz", sha}};
    result.counts.read = lease.shard.record_count;
    result.counts.labelled = lease.shard.record_count;
    return result;
  }
  void FinishShards(std::size_t count) {
    const std::string labeler = Register();
    for (std::size_t i = 0; i < count; ++i) {
      const auto duplicate = engine()->leases().Commit(ResultOf(LeaseOne(labeler), "sha" + std::to_string(i)));
      EXPECT_TRUE(duplicate && !*duplicate);
    }
    Settle();
  }
  void LoseTheFolderInTheLastPhase() {
    run_id_ = Submit(SmallSpec(/*videos=*/false));
    FinishTrainer("teacher");
    FinishShards(3);
    FinishTrainer("cotrain");
    FinishTrainer("finetune");
    world_.run_files.prepare_status = AbortedError("another coordinator runs it").WithExitCode(exit_code::kFenced);
    Restart();
    Settle();
  }
  void StartLabelling() {
    run_id_ = Submit();
    FinishTrainer("teacher");
    ASSERT_EQ(JobNamed("label").state, JobState::kRunning);
  }
};

TEST_F(RunEngineTest, WalksTheWholeRoadAndWritesTheReportBeforeItSaysSucceeded) {
  run_id_ = Submit();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1"));
  FinishTrainer("teacher");
  FinishShards(3);
  EXPECT_EQ(world_.run_files.indexed(), 3U);
  FinishTrainer("cotrain");
  FinishTrainer("finetune");
  EXPECT_EQ(JobNamed("features").work.models.size(), 2U);
  FinishShards(2);
  FinishTrainer("temporal");
  EXPECT_EQ(TheRun().state, RunState::kRunning);
  EXPECT_EQ(world_.run_files.reports(), 0);
  FinishTrainer("evaluate");
  EXPECT_EQ(world_.run_files.reports(), 1);
  EXPECT_EQ(TheRun().state, RunState::kSucceeded);
  const auto table = ParseJson(world_.run_files.phase_table());
  ASSERT_TRUE(table);
  EXPECT_EQ((*table)["status"], "succeeded");
  EXPECT_EQ((*table)["seed"], 7);
  EXPECT_EQ((*table)["phases"].size(), 7U);
  EXPECT_EQ((*table)["phases"][1]["samples"], 30);
  EXPECT_EQ(world_.launcher.launched().size(), 5U);
}

TEST_F(RunEngineTest, WithoutVideosTwoPhasesAreSkipped) {
  run_id_ = Submit(SmallSpec(/*videos=*/false));
  FinishTrainer("teacher");
  FinishShards(3);
  FinishTrainer("cotrain");
  FinishTrainer("finetune");
  FinishTrainer("evaluate");
  EXPECT_EQ(TheRun().state, RunState::kSucceeded);
  EXPECT_EQ(JobNamed("features").state, JobState::kSkipped);
}

TEST_F(RunEngineTest, ARepeatedSubmissionGivesTheFirstAnswerAndAnotherIsRefused) {
  run_id_ = Submit();
  EXPECT_EQ(Submit(), run_id_);
  const auto other = engine()->runs().Submit({"other", SmallSpec(), kRunDir});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(other.error().exit_code(), exit_code::kFenced);
  EXPECT_EQ(engine()->runs().Submit({"x", SmallSpec(), "relative"}).error().code(), StatusCode::kInvalidArgument);
  Restart();
  EXPECT_EQ(Submit(), run_id_);
}

TEST_F(RunEngineTest, ASettingOfANewerClientIsRefusedAndNotLeftOut) {
  RunSpec spec = SmallSpec();
  ASSERT_TRUE(spec.MergeFromString("\xf8\x3f\x01"));  // field 1023 is 1
  const auto run_id = engine()->runs().Submit({"x", spec, kRunDir});
  ASSERT_FALSE(run_id);
  EXPECT_EQ(run_id.error().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(run_id.error().message()), HasSubstr("field=spec.#1023"));
}

TEST_F(RunEngineTest, ADeadTrainerIsStartedAgainThreeTimesThenTheRunFails) {
  run_id_ = Submit();
  for (int attempt = 1; attempt <= 4; ++attempt) {
    ASSERT_EQ(TheRun().state, RunState::kRunning);
    world_.launcher.Exit("teacher/" + std::to_string(attempt), 137);
    Settle();
  }
  EXPECT_EQ(world_.launcher.launched().size(), 4U);
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, 137);
  EXPECT_THAT(TheRun().failure.message, HasSubstr("phase teacher failed"));
  EXPECT_EQ(world_.run_files.reports(), 1) << "a failed run has a report too";
}

TEST_F(RunEngineTest, ATrainersOwnReasonBecomesTheRunsFailure) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  EXPECT_TRUE(engine()->trainers().FailJob(key, {"class Fear has no sample", 65}).ok());
  world_.launcher.Exit("teacher/1", 65);
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, 65);
  EXPECT_THAT(TheRun().failure.message, HasSubstr("class Fear has no sample"));
  EXPECT_EQ(JobNamed("evaluate").state, JobState::kCancelled);
}

TEST_F(RunEngineTest, AMissingMpirunFailsTheRunWithItsMessage) {
  world_.launcher.Refuse(NotFoundError("mpirun is missing").WithExitCode(exit_code::kMissingService));
  run_id_ = Submit();
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kMissingService);
  EXPECT_THAT(TheRun().failure.message, HasSubstr("mpirun is missing"));
}

TEST_F(RunEngineTest, ATrainerOfAFormerStoresRunOfTheSameNameGetsNoToken) {
  run_id_ = Submit();
  const auto refused = engine()->trainers().TakeToken({run_id_, "teacher", 1, "other", "host", 2, "/runs/former"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kFenced);
  EXPECT_THAT(std::string(refused.error().message()), AllOf(HasSubstr("/runs/former"), HasSubstr(kRunDir)));
  EXPECT_NE(TakeToken("teacher", 1).token, 0U);
}

TEST_F(RunEngineTest, WhoeverTakesTheTokenFirstIsTheJob) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  EXPECT_EQ(TakeToken("teacher", 1).token, key.token) << "the same incarnation";
  EXPECT_EQ(engine()->trainers().TakeToken({run_id_, "teacher", 1, "other", "", 2, kRunDir}).error().code(),
            StatusCode::kAborted);
  world_.launcher.Exit("teacher/1", 137);
  Settle();
  EXPECT_EQ(engine()->trainers().TakeToken({run_id_, "teacher", 1, "incarnation", "", 1, kRunDir}).error().code(),
            StatusCode::kAborted)
      << "the attempt is over";
  const TokenKey second = TakeToken("teacher", 2);
  EXPECT_GT(second.token, key.token);
  EXPECT_EQ(engine()->trainers().Complete(key, {}).code(), StatusCode::kAborted);
  EXPECT_FALSE(engine()->trainers().Report(key, {}));
}

TEST_F(RunEngineTest, ALostLeaseGoesToAnotherAndTheFirstIsAborted) {
  StartLabelling();
  const std::string labeler = Register();
  const GrantedLease lost = LeaseOne(labeler);
  EXPECT_EQ(lost.key.epoch, 1U);
  EXPECT_TRUE(engine()->leases().Renew(lost.key, 5));
  world_.clock.Advance(9s);
  Settle();
  EXPECT_TRUE(engine()->leases().Renew(lost.key, 6)) << "a renewal gives a full lease time";
  world_.clock.Advance(10s + 1ms);
  Settle();
  const auto other = engine()->labelers().Register({"other", "1", "avx2"});
  const GrantedLease again = LeaseOne(other->labeler_id);
  EXPECT_EQ(again.key, (LeaseKey{run_id_, "label", 0, 2}));
  EXPECT_EQ(engine()->leases().Renew(lost.key, 7).error().code(), StatusCode::kAborted);
  EXPECT_EQ(engine()->leases().Commit(ResultOf(lost)).error().code(), StatusCode::kAborted);
  EXPECT_EQ(engine()->leases().Return(lost.key).code(), StatusCode::kAborted);
  EXPECT_TRUE(engine()->leases().Commit(ResultOf(again)));
  EXPECT_EQ(engine().metrics().lease_expired.Value(), 1);
  EXPECT_EQ(engine().metrics().commit_fenced.Value(), 1);
}

TEST_F(RunEngineTest, TheSameDigestAgainIsADuplicateAndAnotherAConflict) {
  StartLabelling();
  const GrantedLease lease = LeaseOne(Register());
  EXPECT_FALSE(*engine()->leases().Commit(ResultOf(lease)));
  EXPECT_TRUE(*engine()->leases().Commit(ResultOf(lease)));
  const auto conflict = engine()->leases().Commit(ResultOf(lease, "another"));
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().code(), StatusCode::kAborted);
  EXPECT_EQ(engine().metrics().commit_conflict.Value(), 1);
  Settle();
  Restart();
  EXPECT_TRUE(*engine()->leases().Commit(ResultOf(lease))) << "known across a restart";
}

TEST_F(RunEngineTest, CountsThatDoNotAddUpAreRefused) {
  StartLabelling();
  ShardResult result = ResultOf(LeaseOne(Register()));
  result.counts.quarantined = 1;
  EXPECT_EQ(engine()->leases().Commit(result).error().code(), StatusCode::kDataLoss);
  result.counts = {};
  EXPECT_EQ(engine()->leases().Commit(result).error().code(), StatusCode::kDataLoss) << "records were left out";
  EXPECT_EQ(JobNamed("label").committed, 0U);
}

TEST_F(RunEngineTest, WhatStaysOfAShardHasASize) {
  StartLabelling();
  const ShardResult honest = ResultOf(LeaseOne(Register()));
  const auto refused = [&](const auto& inflate) {
    ShardResult result = honest;
    inflate(result);
    const auto answer = engine()->leases().Commit(result);
    return !answer && answer.error().code() == StatusCode::kInvalidArgument;
  };
  const std::string folder = honest.files[0].file.substr(0, honest.files[0].file.rfind('/') + 1);
  EXPECT_TRUE(refused([](ShardResult& result) { result.request_id = std::string(1025, 'q'); }));
  EXPECT_TRUE(refused([](ShardResult& result) { result.counts.class_histogram.resize(9); }));
  EXPECT_TRUE(refused([](ShardResult& result) { result.files.push_back(result.files[0]); }));
  EXPECT_TRUE(refused([&](ShardResult& result) { result.files[0].file = folder + std::string(256, 'f'); }));
  EXPECT_TRUE(refused([](ShardResult& result) { result.files[0].sha256 = std::string(256, 'a'); }));
  const ShardFailure failure{std::string(1025, 'q'), "", honest.key, {"broken", 1}, false, {}};
  EXPECT_EQ(engine()->leases().FailShard(failure).code(), StatusCode::kInvalidArgument);
  ShardResult largest = honest;
  largest.request_id = std::string(1024, 'q');
  largest.counts.class_histogram.resize(8);
  largest.files[0] = {folder + std::string(255, 'f'), std::string(255, 'a')};
  EXPECT_TRUE(engine()->leases().Commit(largest));
}

TEST_F(RunEngineTest, DamagePastTheLimitFailsTheRun) {
  StartLabelling();
  ShardResult result = ResultOf(LeaseOne(Register()));
  result.counts.labelled = 7;
  result.counts.quarantined = 3;
  EXPECT_EQ(engine()->leases().Commit(result).error().code(), StatusCode::kDataLoss);
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, 65);
  EXPECT_THAT(TheRun().failure.message, HasSubstr("shard 0 is damaged"));
}

TEST_F(RunEngineTest, AFailureThatMayPassIsTriedElsewhereAndEndsAfterFourTimes) {
  StartLabelling();
  const std::string labeler = Register();
  world_.run_files.label_shards = 1;
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(JobNamed("label").failed, 0U);
    for (int wait = 0; wait < 2; ++wait) {
      world_.clock.Advance(10min);  // what it holds runs out, and then its cool-down
      Settle();
    }
    GrantedLease lease = LeaseOne(labeler);
    while (lease.key.shard != 0) lease = LeaseOne(labeler);
    const ShardFailure failure{"fail-" + std::to_string(i), labeler, lease.key, {"cannot read", 0}, false, {}};
    EXPECT_TRUE(engine()->leases().FailShard(failure).ok());
    EXPECT_TRUE(engine()->leases().FailShard(failure).ok()) << "the same request, the same answer";
  }
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, 65);
}

TEST_F(RunEngineTest, ANewIncarnationOfALabelerFreesItsShardsAtOnce) {
  StartLabelling();
  const GrantedLease lease = LeaseOne(Register("1"));
  EXPECT_EQ(Register("1"), "labeler/1");
  const std::string second = Register("2");
  EXPECT_EQ(engine()->leases().Lease({"labeler/1", 1}).error().code(), StatusCode::kNotFound);
  EXPECT_EQ(engine()->leases().Renew(lease.key, 1).error().code(), StatusCode::kAborted);
  EXPECT_TRUE(JobNamed("label").pending.contains(lease.key.shard));
  EXPECT_NE(LeaseOne(second).key.shard, lease.key.shard) << "the one that it died of is for another first";
}

TEST_F(RunEngineTest, AnotherInstructionSetIsRefusedAndToldWhich) {
  StartLabelling();
  const auto labeler = engine()->labelers().Register({"old", "1", "baseline"});
  const auto answer = engine()->leases().Lease({labeler->labeler_id, 1});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(answer.error().message()), HasSubstr("wanted=avx2"));
}

TEST_F(RunEngineTest, RenewalsAndProgressNeverTouchTheLog) {
  StartLabelling();
  const GrantedLease lease = LeaseOne(Register());
  Settle();
  const std::size_t events = world_.log->events.size();
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(engine()->leases().Renew(lease.key, 1));
    world_.clock.Advance(1s);
    Settle();
  }
  EXPECT_EQ(world_.log->events.size(), events);
}

TEST_F(RunEngineTest, AfterARestartLeasesHoldForOneFullLeaseTime) {
  StartLabelling();
  const GrantedLease lease = LeaseOne(Register());
  Settle();
  world_.clock.Advance(1h);
  Restart();
  Settle();
  EXPECT_TRUE(engine()->leases().Renew(lease.key, 5));
  EXPECT_TRUE(engine()->leases().Commit(ResultOf(lease)));
}

TEST_F(RunEngineTest, AfterARestartARunningTrainerIsAdoptedNotStartedAgain) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  Settle();
  Restart();
  Settle();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1"));
  EXPECT_TRUE(engine()->trainers().Report(key, {}));
  EXPECT_EQ(TakeToken("teacher", 1).token, key.token);
  FinishTrainer("teacher");
  EXPECT_EQ(JobNamed("teacher").state, JobState::kSucceeded);
}

TEST_F(RunEngineTest, AnIntentWithoutALaunchIsLaunchedAfterTheRestartUnderItsNumber) {
  run_id_ = Submit();
  world_.launcher.Exit("teacher/1", 137);
  ASSERT_TRUE(engine().Settle().ok());
  // Rebuild the instant between the saved intent and the launch.
  std::erase_if(world_.log->events, [](const Event& event) {
    const auto* launched = std::get_if<AttemptLaunched>(&event);
    return launched != nullptr && launched->attempt == 2;
  });
  world_.launcher.Forget("teacher/2");
  Restart();
  Settle();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1", "teacher/2", "teacher/2"));
  EXPECT_EQ(JobNamed("teacher").attempt.number, 2U);
}

TEST_F(RunEngineTest, ATrainerThatVanishedCountsAsKilledUnlessItHadCompleted) {
  run_id_ = Submit();
  TakeToken("teacher", 1);
  Settle();
  world_.launcher.Forget("teacher/1");
  Settle();
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 0U) << "it may live, and only its trace be lost";
  world_.clock.Advance(31s);
  Settle();
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 1U);
  const TokenKey key = TakeToken("teacher", 2);
  EXPECT_TRUE(engine()->trainers().Complete(key, {{}, {{"teacher", "f", "s"}}, {}}).ok());
  world_.launcher.Forget("teacher/2");
  Settle();
  EXPECT_EQ(JobNamed("teacher").state, JobState::kSucceeded);
}

TEST_F(RunEngineTest, CancellingAsksTheTrainerToLeaveAndThenKillsIt) {
  run_id_ = Submit();
  EXPECT_EQ(engine()->steering().Cancel("unknown", "q").code(), StatusCode::kNotFound);
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "q").ok());
  Settle();
  EXPECT_THAT(world_.launcher.signals(), ElementsAre(Pair("teacher/1", SIGUSR2)));
  EXPECT_EQ(TheRun().state, RunState::kRunning) << "until the trainer has left";
  world_.clock.Advance(2min);
  Settle();
  EXPECT_THAT(world_.launcher.signals(), Contains(Pair("teacher/1", SIGKILL)));
  world_.launcher.Exit("teacher/1", 137);
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kCancelled);
  EXPECT_EQ(JobNamed("teacher").state, JobState::kCancelled);
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "q").ok()) << "changes nothing";
}

TEST_F(RunEngineTest, DrainingStopsTrainersAndTheNextCoordinatorGoesOn) {
  run_id_ = Submit();
  engine()->trainers().Drain();
  Settle();
  EXPECT_THAT(world_.launcher.signals(), ElementsAre(Pair("teacher/1", SIGUSR2)));
  EXPECT_TRUE(engine()->trainers().AnyLive());
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  EXPECT_FALSE(engine()->trainers().AnyLive());
  EXPECT_EQ(TheRun().state, RunState::kRunning);
  Restart();
  Settle();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1", "teacher/2"));
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 0U) << "a drain costs no attempt";
}

TEST_F(RunEngineTest, ReasonsAndClassesAreOfNoMoreRecordsThanThereAre) {
  StartLabelling();
  ShardResult result = ResultOf(LeaseOne(Register()));
  result.reasons = {{"bad-magic", 1}};
  EXPECT_EQ(engine()->leases().Commit(result).error().code(), StatusCode::kDataLoss);
  result.reasons = {{"bad-magic", UINT64_MAX}, {"jpeg-huge", 1}};
  EXPECT_EQ(engine()->leases().Commit(result).error().code(), StatusCode::kDataLoss) << "a sum past 2^64";
  result.reasons.clear();
  result.counts.class_histogram = {result.counts.labelled, 1};
  EXPECT_EQ(engine()->leases().Commit(result).error().code(), StatusCode::kDataLoss);
  result.counts.class_histogram = {result.counts.labelled - 1, 1};
  EXPECT_TRUE(engine()->leases().Commit(result));
}

TEST_F(RunEngineTest, AnotherSpecUnderTheSameRequestIdIsNoRepetition) {
  run_id_ = Submit();
  RunSpec other = SmallSpec();
  other.mutable_labeling()->set_threshold(0.9);
  const auto refused = engine()->runs().Submit({"submit", other, kRunDir});
  ASSERT_FALSE(refused) << "the folder has an unfinished run of the first spec";
  EXPECT_EQ(refused.error().exit_code(), exit_code::kFenced);
  ASSERT_TRUE(engine()->steering().Cancel(run_id_, "cancel").ok());
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  ASSERT_EQ(TheRun().state, RunState::kCancelled);
  const std::string second = Submit(other);
  EXPECT_NE(second, run_id_);
  EXPECT_EQ(Submit(other), second);
}

TEST_F(RunEngineTest, InANewFolderARunThatHasEndedIsNeitherGivenNorReopened) {
  const auto submit = [this](const char* request) {
    return engine()->runs().Submit({request, SmallSpec(false), kRunDir, 0, /*new_folder=*/true});
  };
  run_id_ = *submit("submit");
  Settle();
  EXPECT_EQ(*submit("submit"), run_id_) << "the same request, the same answer, while the run goes on";
  ASSERT_TRUE(engine()->steering().Cancel(run_id_, "cancel").ok());
  EXPECT_THAT(std::string(submit("submit").error().message()), HasSubstr("state=ending"));
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  for (const char* request : {"submit", "another"}) {
    const auto refused = submit(request);
    ASSERT_FALSE(refused) << request;
    EXPECT_EQ(refused.error().code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kBadData);
    EXPECT_THAT(std::string(refused.error().message()), HasSubstr("run=small-1 state=cancelled run_dir=/runs/small;"));
  }
  EXPECT_EQ(Submit(SmallSpec(false), "reopened"), run_id_);
  FinishTrainer("teacher", 2);
  FinishShards(3);
  for (const char* phase : {"cotrain", "finetune", "evaluate"}) FinishTrainer(phase);
  ASSERT_EQ(TheRun().state, RunState::kSucceeded);
  EXPECT_FALSE(submit("submit"));
  EXPECT_FALSE(submit("another"));
  EXPECT_EQ(Submit(SmallSpec(false)), run_id_) << "where its folder is as it was left";
}

TEST_F(RunEngineTest, ARunThatHadMadeNothingIsReopenedInANewFolderToo) {
  world_.run_files.prepare_status = PermissionDeniedError("no right").WithExitCode(exit_code::kCannotWrite);
  run_id_ = Submit();
  ASSERT_EQ(TheRun().state, RunState::kFailed);
  world_.run_files.prepare_status = {};
  EXPECT_EQ(*engine()->runs().Submit({"again", SmallSpec(), kRunDir, 0, /*new_folder=*/true}), run_id_);
  Settle();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1"));
}

TEST_F(RunEngineTest, AFolderIsTheSameHoweverItIsWritten) {
  run_id_ = Submit();
  const auto again = engine()->runs().Submit({"another", SmallSpec(), "/runs/./x/../small/"});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), StatusCode::kAlreadyExists) << again.error().ToString();
  const auto cut = engine()->runs().Submit({"cut", SmallSpec(), std::string("/runs/small\0er", 14)});
  ASSERT_FALSE(cut) << "the system would take it for /runs/small";
  EXPECT_EQ(cut.error().code(), StatusCode::kInvalidArgument) << cut.error().ToString();
}

TEST_F(RunEngineTest, AFailedRunSubmittedAgainGoesOnFromItsLastFinishedPhase) {
  StartLabelling();
  world_.run_files.index_status = InternalError("no space").WithExitCode(exit_code::kStorageFailed);
  FinishShards(3);
  ASSERT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kStorageFailed);
  world_.run_files.index_status = {};
  EXPECT_EQ(Submit(SmallSpec(), "second"), run_id_);
  Settle();
  EXPECT_EQ(JobNamed("teacher").attempt.number, 1U) << "what is finished stays";
  EXPECT_EQ(JobNamed("label").state, JobState::kSucceeded) << "its shards were committed";
  EXPECT_EQ(JobNamed("cotrain").state, JobState::kRunning);
}

TEST_F(RunEngineTest, ALargeIndexIsMadeInPiecesAndRestsBetweenThem) {
  world_.run_files.label_shards = 10'000;
  int pieces = 0;
  world_.run_files.on_piece = [&] {
    ++pieces;
    world_.clock.Advance(10ms);
  };
  StartLabelling();
  for (int i = 0; i < 3; ++i) {
    world_.clock.Advance(1s);
    Settle();
  }
  ASSERT_EQ(pieces, 3) << "one that names nothing yet";
  pieces = 0;
  FinishShards(5'000);
  EXPECT_EQ(pieces, 1);
  world_.clock.Advance(189ms);
  Settle();
  EXPECT_EQ(pieces, 1);
  world_.clock.Advance(1ms);
  Settle();
  EXPECT_EQ(pieces, 2);
  EXPECT_EQ(world_.run_files.indexed(), 0U) << "what is there stays until the new one is whole";
  world_.clock.Advance(190ms);
  Settle();
  EXPECT_EQ(pieces, 3);
  EXPECT_EQ(world_.run_files.indexed(), 5'000U);
  FinishShards(5'000);
  EXPECT_EQ(world_.run_files.indexed(), 10'000U) << "that of a complete job does not rest";
  EXPECT_EQ(JobNamed("label").state, JobState::kSucceeded);
  EXPECT_EQ(world_.run_files.unfinished(), 0);
}

TEST_F(RunEngineTest, AnIndexInTheMakingGoesWithItsJob) {
  world_.run_files.label_shards = 10'000;
  world_.run_files.on_piece = [this] { world_.clock.Advance(10ms); };
  StartLabelling();
  FinishShards(1);
  EXPECT_EQ(world_.run_files.unfinished(), 1);
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "").ok());
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kCancelled);
  EXPECT_EQ(world_.run_files.unfinished(), 0);
  EXPECT_EQ(world_.run_files.indexed(), 0U);
}

TEST_F(RunEngineTest, ADiskThatFailsBelowARunFailsItInTheLogAndThenEndsTheProcess) {
  StartLabelling();
  const auto round = [this] { return ProcessExitCode(engine()->Round({}, false)); };
  EXPECT_EQ(round(), exit_code::kOk);
  world_.run_files.index_status = UnavailableError("cannot sync").WithExitCode(exit_code::kStorageFailed);
  FinishShards(3);
  EXPECT_EQ(JobNamed("label").state, JobState::kFailed);
  EXPECT_EQ(world_.run_files.reports(), 0) << "nothing more is asked of that disk";
  EXPECT_EQ(round(), exit_code::kStorageFailed);
  world_.run_files.table_status = world_.run_files.index_status;
  Restart();
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kFailed) << "also where the disk fails still";
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kStorageFailed);
  EXPECT_EQ(round(), exit_code::kOk) << "told once";
}

TEST_F(RunEngineTest, APieceThatFailsOnceAnotherCoordinatorLeadsFailsAsFenced) {
  const Status gone = UnavailableError("cannot write").WithExitCode(exit_code::kStorageFailed);
  StartLabelling();
  world_.run_files.on_piece = [&] {
    ++world_.log->term;  // and it removes what this one has begun
    world_.run_files.piece_status = gone;
  };
  const std::string labeler = Register();
  EXPECT_TRUE(engine()->leases().Commit(ResultOf(LeaseOne(labeler))));
  EXPECT_EQ(ProcessExitCode(engine().Settle()), exit_code::kFenced);
  EXPECT_EQ(JobNamed("label").failure.exit_code, exit_code::kFenced) << JobNamed("label").failure.message;
}

TEST_F(RunEngineTest, AFullDiskBelowARunIsTheRunsAlone) {
  StartLabelling();
  world_.run_files.index_status = ResourceExhaustedError("no space").WithExitCode(exit_code::kStorageFailed);
  FinishShards(3);
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kStorageFailed);
  EXPECT_TRUE(engine()->Round({}, false).ok());
}

TEST_F(RunEngineTest, APhaseTableWhoseSyncFailsFailsTheRunAndEndsTheProcess) {
  run_id_ = Submit();
  world_.run_files.table_status = UnavailableError("cannot sync").WithExitCode(exit_code::kStorageFailed);
  FinishTrainer("teacher");
  EXPECT_EQ(ProcessExitCode(engine()->Round({}, false)), exit_code::kStorageFailed);
  Restart();
  Settle();
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kStorageFailed);
  EXPECT_TRUE(engine()->Round({}, false).ok());
}

TEST_F(RunEngineTest, APhaseTableThatFoundNoRoomIsWrittenBeforeTheReport) {
  world_.run_files.table_status = ResourceExhaustedError("no space").WithExitCode(exit_code::kStorageFailed);
  run_id_ = Submit();
  EXPECT_EQ(TheRun().state, RunState::kRunning);
  world_.run_files.table_status = {};
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "").ok());
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  EXPECT_THAT(world_.run_files.phase_table(), HasSubstr("cancelled"));
  EXPECT_EQ(world_.run_files.reports(), 1);
}

TEST_F(RunEngineTest, AReportIsNotMadeOfAPhaseTableThatFoundNoRoom) {
  run_id_ = Submit();
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "").ok());
  world_.run_files.table_status = ResourceExhaustedError("no space").WithExitCode(exit_code::kStorageFailed);
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kCancelled);
  EXPECT_EQ(world_.run_files.reports(), 0);
}

TEST_F(RunEngineTest, AnotherSpecInTheFolderOfAnEndedRunIsANewRun) {
  run_id_ = Submit();
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "").ok());
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  RunSpec other = SmallSpec();
  other.set_seed(8);
  EXPECT_NE(Submit(other, "second"), run_id_);
}

TEST_F(RunEngineTest, MissingDataFailsTheRunWithItsReason) {
  world_.run_files.plan_status = NotFoundError("no such pack: path=/data/faces");
  run_id_ = Submit();
  FinishTrainer("teacher");
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, 65);
  EXPECT_THAT(TheRun().failure.message, HasSubstr("phase label failed: no such pack"));
}

TEST_F(RunEngineTest, AFolderThatCannotBeMadeFailsTheRunBeforeAnythingStarts) {
  world_.run_files.prepare_status = PermissionDeniedError("no right").WithExitCode(exit_code::kCannotWrite);
  run_id_ = Submit();
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kCannotWrite);
  EXPECT_TRUE(world_.launcher.launched().empty());
}

TEST_F(RunEngineTest, ARunWhoseFolderIsHeldFailsWith202AndGivesItUpAsOneThatEnds) {
  world_.run_files.prepare_status = AbortedError("another coordinator runs it").WithExitCode(exit_code::kFenced);
  run_id_ = Submit();
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kFenced);
  EXPECT_THAT(TheRun().failure.message, HasSubstr("another coordinator runs it"));
  EXPECT_TRUE(world_.launcher.launched().empty());
  EXPECT_EQ(world_.run_files.left, 1);
}

TEST_F(RunEngineTest, ARunWithNoJobLeftThatCouldFailWaitsForItsFolder) {
  LoseTheFolderInTheLastPhase();
  world_.launcher.Exit("evaluate/1", exit_code::kKilled);
  Settle();
  world_.clock.Advance(std::chrono::seconds(5));
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kRunning);
  EXPECT_THAT(world_.launcher.launched(), Not(Contains("evaluate/2"))) << "in a folder that is another's";
  world_.run_files.prepare_status = {};
  world_.clock.Advance(std::chrono::seconds(5));
  Settle();
  EXPECT_THAT(world_.launcher.launched(), Contains("evaluate/2"));
  EXPECT_EQ(TheRun().state, RunState::kRunning);
}

TEST_F(RunEngineTest, HowLongARunWaitsForItsFolderIsForgottenWithIt) {
  LoseTheFolderInTheLastPhase();
  const int tried = world_.run_files.prepared;
  Settle();
  ASSERT_EQ(world_.run_files.prepared, tried) << "it waits";
  engine()->runs().Forget(TheRun());
  Settle();
  EXPECT_EQ(world_.run_files.prepared, tried + 1);
}

TEST_F(RunEngineTest, NothingHappensOutsideBeforeTheLogKnows) {
  world_.log->fail_next = InternalError("sync failed").WithExitCode(exit_code::kStorageFailed);
  EXPECT_TRUE(engine()->runs().Submit({"submit", SmallSpec(), kRunDir}));
  EXPECT_EQ(ProcessExitCode(engine().Settle()), exit_code::kStorageFailed);
  EXPECT_TRUE(world_.launcher.launched().empty());
  EXPECT_TRUE(world_.log->events.empty());
}

TEST_F(RunEngineTest, AFolderThatFailsAfterARestartStopsTheTrainerBeforeTheRunEnds) {
  run_id_ = Submit();
  world_.run_files.prepare_status = InternalError("no space left").WithExitCode(exit_code::kStorageFailed);
  Restart();
  Settle();
  EXPECT_EQ(JobNamed("teacher").state, JobState::kRunning) << "its trainer still writes";
  EXPECT_THAT(world_.launcher.signals(), Contains(Pair("teacher/1", SIGUSR2)));
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kStorageFailed);
}

TEST_F(RunEngineTest, ACancelThatComesAgainDoesNotEndTheReopenedRun) {
  run_id_ = Submit();
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "cancel").ok());
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  ASSERT_EQ(TheRun().state, RunState::kCancelled);
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "late").ok()) << "nothing to do, and yet known";
  EXPECT_EQ(Submit(SmallSpec(), "again"), run_id_);
  for (const char* request : {"cancel", "late"}) EXPECT_TRUE(engine()->steering().Cancel(run_id_, request).ok());
  Settle();
  EXPECT_FALSE(TheRun().cancel_requested);
  Restart();
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "late").ok());
  EXPECT_FALSE(TheRun().cancel_requested);
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "new").ok());
  EXPECT_TRUE(TheRun().cancel_requested);
}

TEST_F(RunEngineTest, ACallOfALabelerThatDiedTakesNoNameBack) {
  StartLabelling();
  Register("1");
  const GrantedLease lease = LeaseOne(Register("2"));
  // The first call of a process of this name, and the second of one that knew the name's former holder.
  for (const char* replaces : {"", "labeler/1"}) {
    const auto late = engine()->labelers().Register({"labeler", "0", "avx2", replaces});
    ASSERT_TRUE(late);
    EXPECT_EQ(late->held_by, "labeler/2");
    EXPECT_EQ(late->labeler_id, "");
  }
  EXPECT_TRUE(engine()->leases().Renew(lease.key, 1)) << "the living one keeps its lease";
  EXPECT_EQ(Register("2"), "labeler/2");
}

TEST_F(RunEngineTest, ALabelerThatFellSilentWithoutALeaseIsForgotten) {
  StartLabelling();
  const std::string labeler = Register();
  const GrantedLease lease = LeaseOne(labeler);
  const auto other = engine()->labelers().Register({"other", "1", "avx2"});
  Settle();
  for (int i = 0; i < 700; ++i) {  // 70 minutes
    world_.clock.Advance(6s);
    EXPECT_TRUE(engine()->leases().Renew(lease.key, 5));
    Settle();
  }
  EXPECT_NE(engine()->book().FindLabeler(labeler), nullptr);
  EXPECT_EQ(engine()->book().FindLabeler(other->labeler_id), nullptr);
  EXPECT_EQ(engine()->leases().Lease({other->labeler_id, 1}).error().code(), StatusCode::kNotFound);
  EXPECT_EQ(engine()->labelers().Register({"other", "1", "avx2"})->labeler_id, other->labeler_id) << "it lives";
  Settle();
  Restart();
  EXPECT_NE(engine()->book().FindLabeler(other->labeler_id), nullptr);
}

TEST_F(RunEngineTest, ACancelledRunLaunchesNothingAfterARestart) {
  world_.log->fail_next = {};
  run_id_ = Submit();
  // As if the coordinator had died between intent and launch, after the cancel.
  std::erase_if(world_.log->events, [](const Event& event) { return std::holds_alternative<AttemptLaunched>(event); });
  world_.launcher.Forget("teacher/1");
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "cancel").ok());
  world_.log->events.push_back(RunCancelRequested{run_id_, "cancel", 1});
  Restart();
  Settle();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1")) << "the first launch, and no other";
  EXPECT_EQ(TheRun().state, RunState::kCancelled);
}

TEST_F(RunEngineTest, WhereAnAttemptWasStartedTwiceItLivesInWhoHoldsTheToken) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  world_.launcher.Exit("teacher/1", exit_code::kFenced);
  Settle();
  EXPECT_EQ(JobNamed("teacher").attempt.number, 1U) << "a second attempt would write beside the first";
  EXPECT_TRUE(engine()->trainers().Report(key, {}));
  Restart();
  Settle();
  EXPECT_EQ(JobNamed("teacher").attempt.number, 1U);
  EXPECT_TRUE(engine()->trainers().Complete(key, {}).ok());
  Settle();
  EXPECT_EQ(JobNamed("teacher").state, JobState::kSucceeded);
}

TEST_F(RunEngineTest, AWaitForATrainerThatMayBeThereIsSaid) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  Settle();
  world_.launcher.Forget("teacher/1");
  Restart();
  const auto waiting = [this] {
    Settle();
    return engine()->View(run_id_)->jobs.front().waiting;
  };
  EXPECT_EQ(waiting(), "");
  world_.clock.Advance(std::chrono::seconds(10));
  EXPECT_EQ(waiting(), "its trainer left no word; unless it speaks, another starts in 21 s");
  EXPECT_TRUE(engine()->trainers().Report(key, {}));
  EXPECT_EQ(waiting(), "") << "it speaks";
  world_.clock.Advance(std::chrono::seconds(10));
  EXPECT_EQ(waiting(), "its trainer left no word; unless it speaks, another starts in 21 s");
  world_.clock.Advance(std::chrono::seconds(31));
  EXPECT_EQ(waiting(), "");
  EXPECT_EQ(JobNamed("teacher").attempt.number, 2U);
}

TEST_F(RunEngineTest, ATrainerThatIsKnownToHaveEndedIsNotWaitedFor) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  Settle();
  world_.launcher.Answer("teacher/1", {.ended_token = key.token + 1});
  Restart();
  Settle();
  EXPECT_EQ(JobNamed("teacher").attempt.number, 1U) << "another one has ended";
  world_.launcher.Answer("teacher/1", {.ended_token = key.token});
  Settle();
  EXPECT_EQ(JobNamed("teacher").attempt.number, 2U);
  EXPECT_FALSE(engine()->trainers().Report(key, {}));
}

TEST_F(RunEngineTest, WhoLeavesAsItsPlatformAskedHasNotFailed) {
  run_id_ = Submit();
  for (std::uint32_t attempt = 1; attempt <= 8; ++attempt) {
    world_.launcher.Answer("teacher/" + std::to_string(attempt),
                           {LaunchState::Kind::kExited, exit_code::kTerminated, true});
    Settle();
    EXPECT_EQ(JobNamed("teacher").attempt.number, attempt + 1) << "its time was over, eight times";
  }
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 0U);
  world_.launcher.Exit("teacher/9", exit_code::kTerminated);
  Settle();
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 1U) << "nobody asked it to";
}

TEST_F(RunEngineTest, AWaitForThePlatformIsSaid) {
  run_id_ = Submit();
  const auto waiting = [this] {
    Settle();
    return engine()->View(run_id_)->jobs.front().waiting;
  };
  const auto running = LaunchState::Kind::kRunning;
  world_.launcher.Answer("teacher/1", {.kind = running, .wait = "Slurm job 1 waits: Resources"});
  EXPECT_EQ(waiting(), "Slurm job 1 waits: Resources");
  world_.launcher.Answer("teacher/1", {.kind = running});
  EXPECT_EQ(waiting(), "");
  world_.launcher.Answer("teacher/1", {.kind = running, .wait = "Slurm job 1 waits: Priority"});
  EXPECT_EQ(waiting(), "Slurm job 1 waits: Priority");
  world_.launcher.Exit("teacher/1", exit_code::kTerminated);
  EXPECT_EQ(waiting(), "") << "that attempt is over";
}

TEST_F(RunEngineTest, AJobThatIsDoneWaitsForNobody) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  world_.launcher.Forget("teacher/1");
  Settle();
  world_.clock.Advance(std::chrono::seconds(10));
  EXPECT_NE(engine()->View(run_id_)->jobs.front().waiting, "");
  EXPECT_TRUE(engine()->trainers().Complete(key, {}).ok());
  EXPECT_EQ(engine()->View(run_id_)->jobs.front().waiting, "");
}

TEST_F(RunEngineTest, ALaunchThatFailsBesideAnUnseenHolderOfTheTokenEndsNothing) {
  run_id_ = Submit();
  std::erase_if(world_.log->events, [](const Event& event) { return std::holds_alternative<AttemptLaunched>(event); });
  world_.launcher.Forget("teacher/1");
  world_.launcher.Refuse(InternalError("the queue does not answer"));
  Restart();
  const TokenKey key = TakeToken("teacher", 1);
  Settle();
  EXPECT_EQ(JobNamed("teacher").attempt.number, 1U);
  EXPECT_TRUE(engine()->trainers().Complete(key, {}).ok());
}

TEST_F(RunEngineTest, AJobThatIsToStopIsNotGivenTheToken) {
  run_id_ = Submit();
  world_.log->events.push_back(RunUpdated{run_id_, "suspend", true, {}, 1});
  // Nobody has looked at the run's folder yet, let alone told its trainer anything.
  Restart();
  const auto token = engine()->trainers().TakeToken({run_id_, "teacher", 1, "incarnation", "host", 1, kRunDir});
  ASSERT_EQ(token.error().code(), StatusCode::kAborted);
  EXPECT_EQ(token.error().exit_code(), exit_code::kFenced);
  EXPECT_THAT(token.error().message(), HasSubstr("is to stop"));
  world_.launcher.Exit("teacher/1", exit_code::kFenced);
  Settle();
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 0U) << "it left as it was asked to";
  EXPECT_EQ(TheRun().state, RunState::kRunning);
  EXPECT_TRUE(engine()->steering().Update({run_id_, "resume", false, {}}).ok());
  Settle();
  TakeToken("teacher", 2);
}

TEST_F(RunEngineTest, AResultThatWasTakenCountsHoweverTheTrainerLeaves) {
  run_id_ = Submit();
  EXPECT_TRUE(engine()->trainers().Complete(TakeToken("teacher", 1), {{}, {{"teacher", "f", "s"}}, {}}).ok());
  world_.launcher.Exit("teacher/1", 137);
  Settle();
  EXPECT_EQ(JobNamed("teacher").state, JobState::kSucceeded);
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 0U);
}

TEST_F(RunEngineTest, AResultThatArrivesAfterADrainIsNotMadeAgain) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  engine()->trainers().Drain();
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  Restart();
  EXPECT_TRUE(engine()->trainers().Complete(key, {{}, {{"teacher", "f", "s"}}, {}}).ok());
  Settle();
  EXPECT_EQ(JobNamed("teacher").state, JobState::kSucceeded);
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1"));
}

TEST_F(RunEngineTest, ATrainerOfBeforeTheRunWasReopenedIsFenced) {
  run_id_ = Submit();
  const TokenKey key = TakeToken("teacher", 1);
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "cancel").ok());
  world_.launcher.Exit("teacher/1", 143);
  Settle();
  ASSERT_EQ(TheRun().state, RunState::kCancelled);
  EXPECT_TRUE(engine()->runs().Submit({"again", SmallSpec(), kRunDir}));
  EXPECT_EQ(engine()->trainers().Complete(key, {}).code(), StatusCode::kAborted)
      << "it would be forgotten at the start";
  EXPECT_FALSE(engine()->trainers().Report(key, {}));
}

TEST_F(RunEngineTest, AHolderOfTheTokenThatFallsSilentIsGone) {
  run_id_ = Submit();
  TakeToken("teacher", 1);
  world_.launcher.Exit("teacher/1", exit_code::kFenced);
  world_.clock.Advance(29s);
  Settle();
  EXPECT_EQ(JobNamed("teacher").attempt.number, 1U);
  world_.clock.Advance(2s);
  Settle();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1", "teacher/2"));
}

/// A spec that wants 0.6 of the canaries to be right.
RunSpec GuardedSpec(std::uint32_t rounds) {
  RunSpec spec = SmallSpec(/*videos=*/false);
  spec.mutable_cotrain()->set_rounds(rounds);
  spec.mutable_labeling()->set_min_accuracy(0.6);
  return spec;
}

TEST_F(RunEngineTest, AFirstTeacherThatIsShownToBeBadFailsTheRunAndNothingOfItGoesOn) {
  run_id_ = Submit(GuardedSpec(1));
  FinishTrainer("teacher");
  const std::string labeler = Register();
  const GrantedLease first = LeaseOne(labeler);
  const GrantedLease second = LeaseOne(labeler);
  ShardResult result = ResultOf(first);
  result.canaries = {4, 40};
  EXPECT_TRUE(engine()->leases().Commit(result));
  Settle();
  EXPECT_EQ(JobNamed("label").state, JobState::kFailed);
  EXPECT_EQ(TheRun().state, RunState::kFailed);
  EXPECT_EQ(TheRun().failure.exit_code, exit_code::kBadData);
  EXPECT_THAT(TheRun().failure.message, HasSubstr("teacher t: it named 4 of 40 held-out labelled faces rightly"));
  const auto refused = engine()->leases().Commit(ResultOf(second));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kAborted);
  EXPECT_THAT(std::string(refused.error().message()), HasSubstr("the teacher was stopped; drop the work"));
  EXPECT_EQ(engine()->leases().Renew(second.key, 1).error().code(), StatusCode::kAborted);
  EXPECT_TRUE(engine()->leases().Lease({labeler, 1})->leases.empty());
  EXPECT_EQ(world_.run_files.indexed(), 0U) << "not even the shard that showed it";
  EXPECT_EQ(engine().metrics().canaries_checked.Value(), 40);
  EXPECT_EQ(engine().metrics().canaries_correct.Value(), 4);
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1"));

  Restart();
  Submit(GuardedSpec(1), "again");
  EXPECT_EQ(TheRun().state, RunState::kFailed) << "a stopped teacher stays stopped";
  EXPECT_TRUE(engine()->leases().Lease({Register("2"), 1})->leases.empty());
}

TEST_F(RunEngineTest, ALaterTeacherThatIsShownToBeBadCostsItsRoundAndTheRunGoesOn) {
  run_id_ = Submit(GuardedSpec(3));
  FinishTrainer("teacher");
  FinishShards(3);
  FinishTrainer("cotrain");
  ASSERT_EQ(JobNamed("label-1").state, JobState::kRunning);
  const GrantedLease lease = LeaseOne(Register());
  ShardResult result = ResultOf(lease, "other");
  result.canaries = {0, 60};
  EXPECT_TRUE(engine()->leases().Commit(result));
  Settle();
  for (const char* left_out : {"label-1", "cotrain-1", "label-2", "cotrain-2"}) {
    EXPECT_EQ(JobNamed(left_out).state, JobState::kSkipped) << left_out;
    EXPECT_THAT(JobNamed(left_out).failure.message, HasSubstr("left out: teacher t: it named 0 of 60")) << left_out;
  }
  EXPECT_THAT(world_.run_files.withdrawn(), UnorderedElementsAre("cotrain-1", "cotrain-2"))
      << "an earlier run may have left results in the folder";
  const auto view = engine()->View(run_id_);
  EXPECT_EQ(view->jobs.at(3).metrics.at("canary_accuracy"), 0);
  EXPECT_LT(view->jobs.at(3).metrics.at("canary_accuracy_at_most"), 0.6);
  FinishTrainer("finetune");
  FinishTrainer("evaluate");
  EXPECT_EQ(TheRun().state, RunState::kSucceeded);
  const auto table = ParseJson(world_.run_files.phase_table());
  EXPECT_EQ((*table)["phases"][3]["status"], "skipped");
  EXPECT_EQ((*table)["phases"][3]["canaries"], Json({{"checked", 60}, {"correct", 0}}));
  EXPECT_FALSE((*table).contains("failure"));
}

TEST_F(RunEngineTest, AnOperatorGoesBackToTheTeacherBeforeWhileItsStudentLearns) {
  run_id_ = Submit(GuardedSpec(3));
  const auto roll_back = [this] { return engine()->steering().RollBackTeacher(run_id_, "back", "flat faces"); };
  EXPECT_EQ(engine()->steering().RollBackTeacher("unknown", "", "").error().code(), StatusCode::kNotFound);
  EXPECT_EQ(roll_back().error().code(), StatusCode::kFailedPrecondition) << "no teacher yet";
  FinishTrainer("teacher");
  EXPECT_EQ(roll_back().error().code(), StatusCode::kFailedPrecondition) << "none before the first";
  FinishShards(3);
  FinishTrainer("cotrain");
  FinishShards(3);
  ASSERT_EQ(JobNamed("cotrain-1").state, JobState::kRunning);
  const auto stopped = roll_back();
  ASSERT_TRUE(stopped) << stopped.error().ToString();
  EXPECT_EQ(*stopped, "label-1");
  Settle();
  EXPECT_EQ(JobNamed("cotrain-1").state, JobState::kRunning) << "its trainer must leave first";
  EXPECT_EQ(JobNamed("label-2").state, JobState::kSkipped);
  EXPECT_THAT(world_.launcher.signals(), Contains(Pair("cotrain-1/1", SIGUSR2)));
  world_.launcher.Exit("cotrain-1/1", exit_code::kTerminated);
  Settle();
  EXPECT_EQ(JobNamed("cotrain-1").state, JobState::kSkipped);
  EXPECT_THAT(JobNamed("cotrain-1").failure.message,
              HasSubstr("left out: teacher of label-1: rolled back by an operator: flat faces"));
  EXPECT_THAT(world_.run_files.withdrawn(), ElementsAre("cotrain-2", "cotrain-1")) << "each once nobody works on it";
  Restart();
  EXPECT_EQ(*roll_back(), "label-1") << "the same request, the same answer";
  EXPECT_EQ(engine()->steering().RollBackTeacher(run_id_, "again", "").error().code(), StatusCode::kFailedPrecondition);
  FinishTrainer("finetune");
  FinishTrainer("evaluate");
  EXPECT_EQ(TheRun().state, RunState::kSucceeded);
}

TEST_F(RunEngineTest, AfterARestartTooNothingIsCommittedForAStoppedTeacher) {
  run_id_ = Submit(GuardedSpec(3));
  FinishTrainer("teacher");
  FinishShards(3);
  FinishTrainer("cotrain");
  const GrantedLease lease = LeaseOne(Register("late"));
  ASSERT_EQ(lease.key.job_id, "label-1");
  Restart();
  // The run's folder has not been looked at yet, so that nothing of the run ends.
  ASSERT_TRUE(engine()->steering().RollBackTeacher(run_id_, "back", "flat faces"));
  EXPECT_EQ(engine()->leases().Commit(ResultOf(lease)).error().code(), StatusCode::kAborted);
  EXPECT_EQ(engine()->leases().Renew(lease.key, 1).error().code(), StatusCode::kAborted);
}

TEST_F(RunEngineTest, ASuspendedRunStopsItsTrainerAndGoesOnWhenResumed) {
  run_id_ = Submit();
  TakeToken("teacher", 1);
  const auto update = [this](bool suspended, const std::string& request) {
    const Status status = engine()->steering().Update({run_id_, request, suspended, {}});
    Settle();
    return status;
  };
  EXPECT_TRUE(update(true, "s").ok());
  EXPECT_THAT(world_.launcher.signals(), Contains(Pair("teacher/1", SIGUSR2)));
  world_.launcher.Exit("teacher/1", exit_code::kTerminated);
  Settle();
  Restart();
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1"));
  EXPECT_TRUE(engine()->View(run_id_)->suspended);
  EXPECT_TRUE(update(false, "r").ok());
  EXPECT_THAT(world_.launcher.launched(), ElementsAre("teacher/1", "teacher/2"));
  EXPECT_EQ(JobNamed("teacher").failed_attempts, 0U) << "it left because it was asked to";
  EXPECT_TRUE(update(true, "s").ok());
  EXPECT_FALSE(TheRun().suspended) << "an old request acts once";

  FinishTrainer("teacher", 2);
  const std::string labeler = Register();
  const GrantedLease lease = LeaseOne(labeler);
  EXPECT_TRUE(update(true, "t").ok());
  EXPECT_TRUE(engine()->leases().Lease({labeler, 1})->leases.empty());
  EXPECT_TRUE(engine()->leases().Commit(ResultOf(lease))) << "what is held is finished";
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "c").ok());
  Settle();
  EXPECT_EQ(TheRun().state, RunState::kCancelled);
  EXPECT_EQ(update(false, "u").code(), StatusCode::kFailedPrecondition);
  Submit(SmallSpec(), "again");
  EXPECT_FALSE(TheRun().suspended) << "who submits wants it to go on";
}

TEST_F(RunEngineTest, PrioritiesAreCheckedAndKept) {
  Submission submission{"p", SmallSpec(), "/runs/p", 101};
  EXPECT_EQ(engine()->runs().Submit(submission).error().code(), StatusCode::kInvalidArgument);
  submission.priority = 7;
  run_id_ = *engine()->runs().Submit(submission);
  Settle();
  Restart();
  EXPECT_EQ(engine()->View(run_id_)->priority, 7);
  EXPECT_EQ(engine()->steering().Update({run_id_, "", {}, -101}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(engine()->steering().Update({run_id_, "", {}, {}}).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(engine()->steering().Update({run_id_, "", {}, -100}).ok());
  EXPECT_EQ(TheRun().priority, -100);
}

TEST_F(RunEngineTest, WithoutAFloorCanariesAreOnlyCounted) {
  StartLabelling();
  ShardResult result = ResultOf(LeaseOne(Register()));
  result.canaries = {0, 1000};
  EXPECT_TRUE(engine()->leases().Commit(result));
  Settle();
  EXPECT_EQ(JobNamed("label").state, JobState::kRunning);
  EXPECT_EQ(JobNamed("label").canaries, (CanaryCounts{0, 1000}));
  result = ResultOf(LeaseOne(Register()));
  result.canaries = {2, 1};
  EXPECT_EQ(engine()->leases().Commit(result).error().code(), StatusCode::kDataLoss);
}

TEST_F(RunEngineTest, ClassesOfRunsThatHaveNotEndedAreCountedFromZero) {
  const std::string neutral = "ferment_records_labelled_total{class=\"Neutral\"} 0\n";
  EXPECT_THAT(engine().Exposition(), Not(HasSubstr(neutral)));
  run_id_ = Submit();
  EXPECT_THAT(engine().Exposition(), HasSubstr(neutral));
  Restart();
  EXPECT_THAT(engine().Exposition(), HasSubstr(neutral));
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "cancel").ok());
  world_.launcher.Exit("teacher/1", exit_code::kTerminated);
  Settle();
  ASSERT_EQ(TheRun().state, RunState::kCancelled);
  Restart();
  EXPECT_THAT(engine().Exposition(), Not(HasSubstr(neutral))) << "it has ended";
  Submit(SmallSpec(), "again");
  EXPECT_THAT(engine().Exposition(), HasSubstr(neutral)) << "it goes on";
}

TEST_F(RunEngineTest, TheLastShardsPlanAgreementIsAMetric) {
  StartLabelling();
  ShardResult result = ResultOf(LeaseOne(Register()));
  EXPECT_TRUE(engine()->leases().Commit(result));  // of an fp32 plan
  EXPECT_EQ(engine().metrics().plan_agreement.Value(), 0);
  result = ResultOf(LeaseOne(Register()));
  result.plan_agreement = 0.995;
  EXPECT_TRUE(engine()->leases().Commit(result));
  EXPECT_EQ(engine().metrics().plan_agreement.Value(), 0.995);
}

TEST_F(RunEngineTest, AShardsConfidencesCountOnceHoweverOftenTheyAreHandedIn) {
  StartLabelling();
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_pseudo_label_confidence_count 0"));
  ShardResult result = ResultOf(LeaseOne(Register()));
  for (const double confidence : {0.55, 0.55, 0.97}) result.confidence.Observe(confidence, metrics::kConfidenceBounds);
  EXPECT_EQ(engine()->leases().Commit(result), false);
  EXPECT_EQ(engine()->leases().Commit(result), true) << "a duplicate";
  ShardResult lost = ResultOf(LeaseOne(Register()));
  lost.confidence = result.confidence;
  ++lost.key.epoch;
  EXPECT_FALSE(engine()->leases().Commit(lost)) << "fenced";
  ShardResult strange = ResultOf(LeaseOne(Register()));
  strange.confidence = {{7}, 7};
  EXPECT_TRUE(engine()->leases().Commit(strange)) << "labels count, bounds of another version do not";
  Settle();
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_pseudo_label_confidence_count 3\n"));
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_pseudo_label_confidence_sum 2.07\n"));
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_pseudo_label_confidence_bucket{le=\"0.6\"} 2\n"));
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_pseudo_label_confidence_bucket{le=\"0.95\"} 2\n"));
}

TEST_F(RunEngineTest, RanksAreShownWhileTheJobIsAtItsStepsAndCountsBeginAnewWithAnAttempt) {
  run_id_ = Submit();
  const auto moved = [&](const char* rank) {
    return engine().registry().MakeGauge("ferment_rank_last_progress_timestamp_seconds", "", {{"rank", rank}}).Value();
  };
  TrainerProgress progress{1, 10, {}, {}};
  for (int step = 0; step < 3; ++step) progress.distributions["step_seconds"].Observe(1, metrics::kStepSecondsBounds);
  TokenKey key = TakeToken("teacher", 1);
  EXPECT_TRUE(engine()->trainers().Report(key, progress));
  EXPECT_GT(moved("0"), 0) << "one rank alone";
  progress.rank_idle_seconds = {0, 10};
  EXPECT_TRUE(engine()->trainers().Report(key, progress));
  EXPECT_EQ(moved("1"), moved("0") - 10);
  world_.launcher.Exit("teacher/1", 201);
  Settle();
  EXPECT_EQ(moved("0"), 0);
  EXPECT_EQ(moved("1"), 0);

  key = TakeToken("teacher", 2);
  EXPECT_TRUE(engine()->trainers().Report(key, progress));
  EXPECT_GT(moved("1"), 0);
  progress.step = 10;
  EXPECT_TRUE(engine()->trainers().Report(key, progress));
  EXPECT_EQ(moved("1"), 0) << "the last step is made";
  TrainerResult result{{}, {{"teacher", "f", "s"}}, {}, progress.distributions};
  result.distributions["step_seconds"].Observe(1, metrics::kStepSecondsBounds);
  EXPECT_TRUE(engine()->trainers().Complete(key, result).ok());
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_train_step_duration_seconds_count{phase=\"teacher\"} 7\n"));
}

TEST_F(RunEngineTest, WhatTrainersAndLabelersTellIsCountedByPhaseAndClass) {
  run_id_ = Submit();
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_teacher_version 0"));
  const TokenKey key = TakeToken("teacher", 1);
  EXPECT_TRUE(engine()->trainers().Report(key, {1, 10, {64, 1, 1}, {{"loss", 0.5}}}));
  EXPECT_TRUE(engine()->trainers().Complete(key, {{640, 1, 1}, {{"teacher", "f", "s"}}, {{"macro_f1", 0.25}}}).ok());
  world_.launcher.Exit("teacher/1", 0);
  Settle();
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_train_samples_total{phase=\"teacher\"} 640"));
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_train_loss{phase=\"teacher\"} 0.5"));
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_eval_macro_f1_ratio{phase=\"teacher\"} 0.25"));
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_teacher_version 1"));
  ShardResult labels = ResultOf(LeaseOne(Register()));
  labels.counts.class_histogram = {labels.counts.labelled};
  labels.seconds = 7;
  EXPECT_TRUE(engine()->leases().Commit(labels));
  FinishShards(2);
  FinishTrainer("cotrain");
  FinishTrainer("finetune");
  FinishShards(2);
  const std::string text = engine().Exposition();
  EXPECT_THAT(text, HasSubstr("ferment_records_labelled_total{class=\"Neutral\"} 10"));
  EXPECT_THAT(text, Not(HasSubstr("\nferment_records_labelled_total "))) << "a series without a class";
  EXPECT_THAT(text, HasSubstr("ferment_video_frames_total 10"));
  EXPECT_THAT(text, HasSubstr("ferment_shard_label_duration_seconds_count 3"));
  EXPECT_THAT(text, HasSubstr("ferment_shard_label_duration_seconds_bucket{le=\"10\"} 3"));
  EXPECT_THAT(text, HasSubstr("ferment_teacher_version 2"));
}

TEST_F(RunEngineTest, AViewShowsShardsProgressAndARevisionThatGrows) {
  StartLabelling();
  const std::uint64_t before = engine()->View(run_id_)->revision;
  const GrantedLease lease = LeaseOne(Register());
  EXPECT_TRUE(engine()->leases().Renew(lease.key, 4));
  const auto view = engine()->View(run_id_);
  ASSERT_TRUE(view);
  EXPECT_GT(view->revision, before);
  EXPECT_EQ(view->jobs[1].shards.grid, "lpp");
  EXPECT_EQ(view->jobs[1].usage.samples, 4U);
  EXPECT_EQ(view->labelers.size(), 1U);
  Settle();
  Restart();
  EXPECT_GT(engine()->View(run_id_)->revision, view->revision);
  EXPECT_EQ(engine()->View("unknown").error().code(), StatusCode::kNotFound);
}

TEST_F(RunEngineTest, ReplayingTheLogGivesAnEqualBook) {
  StartLabelling();
  FinishShards(3);
  JobBook replayed;
  for (const Event& event : world_.log->events) replayed.Apply(event);
  EXPECT_EQ(replayed, engine()->book());
}

TEST_F(RunEngineTest, ARequestIdOfAnotherRunsChangeIsRefusedAndNotTakenAsDone) {
  run_id_ = Submit();
  const auto second = engine()->runs().Submit({"second", SmallSpec(), "/runs/second"});
  ASSERT_TRUE(second);
  ASSERT_TRUE(engine()->steering().Cancel(run_id_, "stop").ok());
  EXPECT_EQ(engine()->steering().Cancel(*second, "stop").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(engine()->steering().Update({*second, "stop", true}).code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(engine()->book().FindRun(*second)->cancel_requested);
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "stop").ok()) << "the same again";
}

/// Runs whose teacher reports once before they are cancelled.
class EndedRuns : public RunEngineTest {
 protected:
  /// In /runs/<folder>: a new run, or the one that ended there again.
  void EndOne(int folder, std::uint32_t attempt = 1) {
    const std::string start = "teacher/" + std::to_string(attempt);
    run_id_ = *engine()->runs().Submit({"submit-" + std::to_string(folder) + '-' + std::to_string(attempt), SmallSpec(),
                                        "/runs/" + std::to_string(folder)});
    Settle();
    TrainerProgress progress;
    progress.step = 3;
    EXPECT_FALSE(engine()->trainers().Report(TakeToken("teacher", attempt), progress).value_or(true));
    EXPECT_TRUE(engine()->steering().Cancel(run_id_, "").ok());
    Settle();
    world_.launcher.Exit(start, exit_code::kTerminated);
    Settle();
    ASSERT_EQ(TheRun().state, RunState::kCancelled);
    world_.launcher.Forget(start);
  }
};

TEST_F(EndedRuns, ARunThatWasReopenedIsAsOldAsItsLastEnd) {
  EndOne(1);
  EndOne(1, 2);
  for (int folder = 2; folder <= 100; ++folder) EndOne(folder);
  EXPECT_NE(engine()->trainers().ProgressOf("small-1", "teacher"), nullptr);
  EndOne(101);
  EXPECT_EQ(engine()->trainers().ProgressOf("small-1", "teacher"), nullptr);
}

TEST_F(EndedRuns, TheLastOnesAreRememberedAndThoseBeforeAreForgottenInTime) {
  world_.retention = {2, 10min};
  Restart();
  for (int folder = 1; folder <= 4; ++folder) EndOne(folder);
  EndOne(1, 2);
  EXPECT_THAT(engine()->book().run_order(), ElementsAre("small-1", "small-2", "small-3", "small-4"))
      << "who watches the first has had no time to see its end";
  world_.clock.Advance(10min);
  Settle();
  Settle();
  EXPECT_THAT(engine()->book().run_order(), ElementsAre("small-1", "small-4")) << "in order of their ends";
  EXPECT_EQ(engine()->View("small-2").error().code(), StatusCode::kNotFound);
  EXPECT_THAT(engine()->View("small-2").error().message(), HasSubstr("--keep-runs"));
  EXPECT_EQ(engine()->steering().Cancel("small-2", "late").code(), StatusCode::kNotFound);
  EXPECT_EQ(engine()->trainers().ProgressOf("small-2", "teacher"), nullptr);
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_phases{phase=\"teacher\",state=\"cancelled\"} 2\n"));
  run_id_ = *engine()->runs().Submit({"new", SmallSpec(), "/runs/2"});
  EXPECT_EQ(run_id_, "small-5") << "a number is given once";
  Settle();
  const JobBook before = engine()->book();
  Restart();
  EXPECT_EQ(engine()->book(), before);
}

TEST_F(EndedRuns, APageGoesOnBehindARunThatIsForgottenOrBeforeOneThatIsNew) {
  world_.retention = {3, 10min};
  Restart();
  for (int folder = 1; folder <= 4; ++folder) EndOne(folder);
  const auto page = [this](std::uint64_t before, std::size_t limit) {
    std::vector<std::string> run_ids;
    const auto runs = engine()->Page(before, limit);
    EXPECT_TRUE(runs) << runs.error().ToString();
    for (const RunView& run : runs->runs) run_ids.push_back(run.run_id);
    if (runs->more) run_ids.push_back("more");
    return run_ids;
  };
  EXPECT_THAT(page(0, 2), ElementsAre("small-4", "small-3", "more"));
  EXPECT_THAT(page(3, 2), ElementsAre("small-2", "small-1"));
  EndOne(5);
  EXPECT_THAT(page(3, 1), ElementsAre("small-2", "more"));
  EndOne(1, 2);
  world_.clock.Advance(10min);
  Settle();
  Settle();
  ASSERT_THAT(engine()->book().run_order(), ElementsAre("small-1", "small-4", "small-5"));
  EXPECT_THAT(page(3, 2), ElementsAre("small-1")) << "behind one that is gone";
  EXPECT_THAT(page(1, 2), ElementsAre());
  EXPECT_EQ(engine()->Page(6, 2).error().code(), StatusCode::kInvalidArgument);
}

TEST_F(EndedRuns, ManyAreForgottenAFewARound) {
  for (int folder = 1; folder <= 20; ++folder) EndOne(folder);
  world_.retention = {3, 10min};
  Restart();
  world_.clock.Advance(10min);
  Settle();
  EXPECT_EQ(engine()->book().run_order().size(), 12U);
  Settle();
  EXPECT_EQ(engine()->book().run_order().size(), 4U);
  Settle();
  EXPECT_THAT(engine()->book().run_order(), ElementsAre("small-18", "small-19", "small-20"));
}

TEST_F(EndedRuns, ARestartKeepsTheOrderAndGivesThemTimeAnew) {
  for (int folder = 1; folder <= 2; ++folder) {
    EndOne(folder);
    world_.clock.Advance(1s);
  }
  EndOne(1, 2);
  world_.retention = {1, 10min};
  Restart();
  Settle();
  EXPECT_EQ(engine()->book().run_order().size(), 2U);
  world_.clock.Advance(10min);
  Settle();
  EXPECT_THAT(engine()->book().run_order(), ElementsAre("small-1")) << "it ended last";
}

TEST_F(EndedRuns, FiguresOfTheLastHundredStayAndThoseOfEarlierOnesGo) {
  for (int folder = 1; folder <= 101; ++folder) EndOne(folder);
  EXPECT_EQ(engine()->trainers().ProgressOf("small-1", "teacher"), nullptr);
  ASSERT_NE(engine()->trainers().ProgressOf("small-2", "teacher"), nullptr);
  EXPECT_EQ(engine()->trainers().ProgressOf("small-2", "teacher")->step, 3U);
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_phases{phase=\"teacher\",state=\"cancelled\"} 101\n"));
  // And it can be looked at and opened again.
  EXPECT_EQ(engine()->View("small-1")->state, RunState::kCancelled);
  run_id_ = *engine()->runs().Submit({"again", SmallSpec(), "/runs/1"});
  Settle();
  EXPECT_EQ(run_id_, "small-1");
  EXPECT_EQ(JobNamed("teacher").attempt.number, 2U);
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_phases{phase=\"teacher\",state=\"cancelled\"} 100\n"));
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_phases{phase=\"teacher\",state=\"running\"} 1\n"));
  Restart();
  Settle();
  EXPECT_THAT(engine().Exposition(), HasSubstr("ferment_phases{phase=\"teacher\",state=\"cancelled\"} 100\n"));
}

}  // namespace
}  // namespace ferment::coordinator
