// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/lease_policy.h"

#include "tests/coordinator/core/lease_policy_fixture.h"

namespace ferment::coordinator {
namespace {

class LeasePolicy : public LeasePolicyFixture {};

TEST_F(LeasePolicy, SaysThatWorkWillComeWhileTheTeacherStillTrains) {
  EXPECT_EQ(Choose("a").kind, LeaseChoice::Kind::kNothingNow);
}

TEST_F(LeasePolicy, GivesTheLowestShardUnderTheNextEpoch) {
  Plan(3);
  const LeaseChoice choice = Choose("a");
  EXPECT_EQ(choice.kind, LeaseChoice::Kind::kGrant);
  EXPECT_EQ(choice.key, (LeaseKey{"r", "label", 0, 1}));
}

TEST_F(LeasePolicy, GivesAnExpiredShardToAnotherLabeler) {
  Plan(2);
  book_.Apply(ShardLeased{{"r", "label", 0, 1}, "a"});
  book_.Apply(ShardReleased{{"r", "label", 0, 1}, ReleaseReason::kExpired, ""});
  EXPECT_EQ(Choose("a").key.shard, 1U);
  EXPECT_EQ(Choose("b").key, (LeaseKey{"r", "label", 0, 2}));
  book_.Apply(ShardLeased{{"r", "label", 1, 1}, "b"});
  EXPECT_EQ(Choose("a").key.shard, 0U) << "better than nothing";
}

TEST_F(LeasePolicy, GivesAShardThatDiedWithAProcessToAnotherLabelerThanTheNextOfItsName) {
  Plan(2);
  book_.Apply(LabelerRegistered{"c/1", "c", "1", "avx2"});
  book_.Apply(ShardLeased{{"r", "label", 0, 1}, "c/1"});
  book_.Apply(ShardReleased{{"r", "label", 0, 1}, ReleaseReason::kReplaced, ""});
  book_.Apply(LabelerRegistered{"c/2", "c", "2", "avx2"});
  EXPECT_EQ(Choose("c/2").key.shard, 1U);
}

TEST_F(LeasePolicy, KeepsAFailedShardForAnotherLabelerWhileThereIsOne) {
  Plan(1);
  FailOnce(0, "a");
  EXPECT_EQ(Choose("a", {"a", "b"}).kind, LeaseChoice::Kind::kNothingNow);
  EXPECT_EQ(Choose("b", {"a", "b"}).key, (LeaseKey{"r", "label", 0, 2}));
  EXPECT_EQ(Choose("a", {"a"}).key, (LeaseKey{"r", "label", 0, 2})) << "alone, it tries again";
  FailOnce(0, "b");
  EXPECT_EQ(Choose("a", {"a", "b"}).kind, LeaseChoice::Kind::kGrant) << "nobody is better than it";
}

TEST_F(LeasePolicy, GivesOtherShardsToWhoFailedOne) {
  Plan(3);
  FailOnce(0, "a");
  EXPECT_EQ(Choose("a", {"a", "b"}).key.shard, 1U);
  EXPECT_EQ(Choose("b", {"a", "b"}).key.shard, 0U);
}

TEST_F(LeasePolicy, AFailedShardDoesNotWaitForAMachineOfAnotherClass) {
  Plan(1, "avx2");
  FailOnce(0, "a");
  EXPECT_EQ(Choose("a", {"a", "b"}).kind, LeaseChoice::Kind::kGrant) << "b is avx512";
}

TEST_F(LeasePolicy, TriesAnotherMachineBeforeAnotherLabelerOfTheSameOne) {
  Plan(1);
  book_.Apply(LabelerRegistered{"c", "c", "1", "avx2", "h1"});
  book_.Apply(LabelerRegistered{"d", "d", "1", "avx2", "h1"});
  book_.Apply(LabelerRegistered{"e", "e", "1", "avx2", "h2"});
  FailOnce(0, "c");
  EXPECT_EQ(Choose("d", {"c", "d", "e"}).kind, LeaseChoice::Kind::kNothingNow);
  EXPECT_EQ(Choose("e", {"c", "d", "e"}).kind, LeaseChoice::Kind::kGrant);
  EXPECT_EQ(Choose("d", {"c", "d"}).kind, LeaseChoice::Kind::kGrant);
  EXPECT_EQ(Choose("c", {"c", "d"}).kind, LeaseChoice::Kind::kNothingNow);
  FailOnce(0, "a");
  EXPECT_EQ(Choose("b", {"a", "b"}).kind, LeaseChoice::Kind::kGrant)
      << "that no host is named makes no machine of them";
}

TEST_F(LeasePolicy, KeepsTheLastTryForAMachineThatHasNotFailedTheShardAlsoWhileItCoolsDown) {
  Plan(1);
  book_.Apply(LabelerRegistered{"c", "c", "1", "avx2", "h1"});
  book_.Apply(LabelerRegistered{"d", "d", "1", "avx2", "h1"});
  book_.Apply(LabelerRegistered{"e", "e", "1", "avx2", "h2"});
  cool_down_ = {"c", "e"};
  FailOnce(0, "c");
  FailOnce(0, "d");
  EXPECT_EQ(Choose("d", {"c", "d", "e"}).kind, LeaseChoice::Kind::kGrant) << "it may fail it once more";
  FailOnce(0, "d");
  EXPECT_EQ(Choose("d", {"c", "d", "e"}).kind, LeaseChoice::Kind::kNothingNow);
  EXPECT_EQ(Choose("d", {"c", "d"}).kind, LeaseChoice::Kind::kGrant) << "c is of the same machine";
  cool_down_ = {};
  EXPECT_EQ(Choose("e", {"c", "d", "e"}).kind, LeaseChoice::Kind::kGrant);
}

TEST_F(LeasePolicy, ACoolDownBeginsSmallDoublesAndHasALimit) {
  const CoolDownRule rule{3, std::chrono::seconds(5), std::chrono::seconds(60)};
  const auto seconds = [&](std::uint32_t failures) { return CoolDownFor(rule, failures) / std::chrono::seconds(1); };
  EXPECT_EQ(seconds(0), 0);
  EXPECT_EQ(seconds(2), 0);
  EXPECT_EQ(seconds(3), 5);
  EXPECT_EQ(seconds(4), 10);
  EXPECT_EQ(seconds(6), 40);
  EXPECT_EQ(seconds(7), 60);
  EXPECT_EQ(seconds(4'000'000'000), 60);
  EXPECT_EQ(CoolDownFor({0, std::chrono::seconds(5), std::chrono::seconds(60)}, 9).count(), 0) << "0: never";
}

TEST_F(LeasePolicy, ServesTheHighestPriorityFirstAndNothingOfASuspendedRun) {
  Plan(1);
  book_.Apply(RunSubmitted{"later", "", "n", "/runs/later", "", PlanJobs({1, false}), 0});
  ShardsPlanned event;
  event.run_id = "later";
  event.job_id = "label";
  event.shards = {{"", 0, 1}};
  book_.Apply(event);
  const auto update = [this](const char* run_id, std::optional<bool> suspended, std::optional<std::int32_t> priority) {
    book_.Apply(RunUpdated{run_id, "", suspended, priority, 0});
  };
  EXPECT_EQ(Choose("a").key.run_id, "r") << "the oldest";
  update("later", {}, 1);
  EXPECT_EQ(Choose("a").key.run_id, "later");
  update("later", true, {});
  EXPECT_EQ(Choose("a").key.run_id, "r");
  update("r", true, -3);
  EXPECT_EQ(Choose("a").kind, LeaseChoice::Kind::kNothingNow);
  update("later", false, -4);
  EXPECT_EQ(Choose("a").key.run_id, "later");
  update("r", false, {});
  EXPECT_EQ(Choose("a").key.run_id, "r") << "-3 is above -4";
}

TEST_F(LeasePolicy, KeepsWorkFromMachinesOfAnotherClass) {
  Plan(1, "avx512");
  EXPECT_EQ(Choose("b").kind, LeaseChoice::Kind::kGrant);
  const LeaseChoice refused = Choose("a");
  EXPECT_EQ(refused.kind, LeaseChoice::Kind::kWrongMachine);
  EXPECT_EQ(refused.instruction_set, "avx512");
}

TEST_F(LeasePolicy, GivesNothingOfARunThatIsCancelledOrHasAFailedShard) {
  Plan(2);
  book_.Apply(ShardLeased{{"r", "label", 0, 1}, "a"});
  book_.Apply(ShardFailed{{"r", "label", 0, 1}, "", {"bad", 65}, {}});
  EXPECT_EQ(Choose("b").kind, LeaseChoice::Kind::kNothingNow);
  book_.Apply(RunCancelRequested{"r", "", 0});
  EXPECT_EQ(Choose("b").kind, LeaseChoice::Kind::kIdle);
  book_.Apply(RunEnded{"r", RunState::kCancelled, {}, 0});
  EXPECT_EQ(Choose("b").kind, LeaseChoice::Kind::kIdle);
}

TEST_F(LeasePolicy, WorkThatWillComeCountsForMoreThanWorkForAnotherClass) {
  book_.Apply(RunSubmitted{"later", "", "n", "/runs/later", "", PlanJobs({1, false}), 0});
  book_.Apply(ShardsPlanned{"later", "label", {"", "", "avx512", 0, 0, {}}, {{"", 0, 1}}, 0});
  EXPECT_EQ(Choose("a").kind, LeaseChoice::Kind::kNothingNow);
}

TEST_F(LeasePolicy, LooksPastSixtyFourShardsThatItHeldLastAndNoFurther) {
  Plan(66);
  for (std::uint64_t shard = 0; shard < 64; ++shard) {
    book_.Apply(ShardLeased{{"r", "label", shard, 1}, "a"});
    book_.Apply(ShardReleased{{"r", "label", shard, 1}, ReleaseReason::kReturned, ""});
  }
  EXPECT_EQ(Choose("a").key.shard, 0U);
  EXPECT_EQ(Choose("b").key.shard, 0U);
  book_.Apply(ShardLeased{{"r", "label", 0, 2}, "b"});
  EXPECT_EQ(Choose("a").key.shard, 64U);
}

TEST_F(LeasePolicy, GivesNothingOfAStoppedTeacher) {
  Plan(2);
  book_.Apply(TeacherTripped{"r", "label", TripCause::kAccuracy, "bad", 0});
  EXPECT_EQ(Choose("a").kind, LeaseChoice::Kind::kNothingNow);
}

}  // namespace
}  // namespace ferment::coordinator
