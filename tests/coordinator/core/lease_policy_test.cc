// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/lease_policy.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {
namespace {

class LeasePolicy : public ::testing::Test {
 protected:
  void SetUp() override {
    book_.Apply(RunSubmitted{"r", "", "n", "/runs/r", "", PlanJobs({1, false}), 0});
    book_.Apply(LabelerRegistered{"a", "a", "1", "avx2"});
    book_.Apply(LabelerRegistered{"b", "b", "1", "avx512"});
  }
  void Plan(std::size_t shards, const std::string& instruction_set = "") {
    ShardsPlanned event;
    event.run_id = "r";
    event.job_id = "label";
    event.work.instruction_set = instruction_set;
    for (std::size_t i = 0; i < shards; ++i) event.shards.push_back({"", i, 1});
    book_.Apply(event);
  }
  /// Of these labelers.
  LeaseChoice Choose(const std::string& labeler, const std::vector<std::string>& there = {}) {
    const auto present = [&] {
      std::vector<Present> found;
      for (const std::string& one : there) found.push_back({book_.FindLabeler(one), at_work_.contains(one)});
      return found;
    };
    return ChooseShard(book_, *book_.FindLabeler(labeler),
                       {present, [&](std::string_view one) { return may_return_.contains(std::string(one)); }});
  }
  void FailOnce(std::uint64_t shard, const std::string& labeler) {
    const LeaseKey key{"r", "label", shard, book_.FindJob("r", "label")->shards[shard].epoch + 1};
    book_.Apply(ShardLeased{key, labeler});
    book_.Apply(ShardReleased{key, ReleaseReason::kFailed, ""});
  }

  JobBook book_;
  std::set<std::string> at_work_;
  std::set<std::string> may_return_;
};

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
}

TEST_F(LeasePolicy, GivesNothingOfAStoppedTeacher) {
  Plan(2);
  book_.Apply(TeacherTripped{"r", "label", TripCause::kAccuracy, "bad", 0});
  EXPECT_EQ(Choose("a").kind, LeaseChoice::Kind::kNothingNow);
}

/// Labelers c and d on one host, e on another, and shard 0, which processes die with.
class SuspectShard : public LeasePolicy {
 protected:
  void SetUp() override {
    LeasePolicy::SetUp();
    for (const char* name : {"c", "d", "e"}) Register(name, 1);
  }
  void Register(const std::string& name, int life) {
    const std::string incarnation = std::to_string(life);
    const std::string host = name == "e" ? "host-2" : "host-1";
    book_.Apply(LabelerRegistered{name + "/" + incarnation, name, incarnation, "avx2", host});
  }
  const Job& LabelJob() { return *book_.FindJob("r", "label"); }
  LeaseKey Lease(std::uint64_t shard, const std::string& labeler, bool alone) {
    const LeaseKey key{"r", "label", shard, LabelJob().shards[shard].epoch + 1};
    book_.Apply(ShardLeased{key, labeler, 0, alone});
    return key;
  }
  void Die(const std::string& name, int life, bool alone, std::uint64_t records_done = 0) {
    const LeaseKey key = Lease(0, name + "/" + std::to_string(life), alone);
    book_.Apply(ShardReleased{key, ReleaseReason::kReplaced, "", records_done});
    Register(name, life + 1);
  }
  bool Fails(const std::vector<std::string>& alive) {
    std::vector<Present> present;
    for (const std::string& one : alive) present.push_back({book_.FindLabeler(one), false});
    return MustFail(LabelJob(), 0, present,
                    [this](std::string_view one) { return may_return_.contains(std::string(one)); });
  }
};

TEST_F(SuspectShard, IsTheLastOfItsRunAndGoesToALabelerThatHoldsNothing) {
  Plan(2);
  Die("c", 1, false);
  EXPECT_EQ(Choose("d/1").key.shard, 0U) << "one death is bad luck";
  Die("d", 1, false);
  EXPECT_EQ(Choose("e/1").key.shard, 1U);
  const LeaseKey other = Lease(1, "e/1", false);
  EXPECT_EQ(Choose("e/1").kind, LeaseChoice::Kind::kNothingNow) << "it holds something";
  book_.Apply(ShardCommitted{other, "q", {{"f", "s"}}, {1, 1, 0, 0, {}}, {}, 1, 2, 3});
  const LeaseChoice choice = Choose("e/1");
  EXPECT_EQ(choice.key, (LeaseKey{"r", "label", 0, 3}));
  EXPECT_TRUE(choice.alone);
}

TEST_F(SuspectShard, LeavesItsLabelerNothingBesideIt) {
  Plan(2);
  Die("c", 1, false);
  Die("d", 1, false);
  const LeaseKey key = Lease(0, "e/1", true);
  EXPECT_EQ(Choose("e/1").kind, LeaseChoice::Kind::kNothingNow);
  book_.Apply(ShardReleased{key, ReleaseReason::kReturned, ""});
  EXPECT_EQ(Choose("e/1").key.shard, 1U);
}

TEST_F(SuspectShard, WaitsWhileOneThatLostItMayYetCallAgain) {
  Plan(1);
  Die("c", 1, false);
  book_.Apply(ShardReleased{Lease(0, "d/1", false), ReleaseReason::kExpired, ""});
  may_return_ = {"d/1"};
  EXPECT_EQ(Choose("e/1", {"e/1"}).kind, LeaseChoice::Kind::kNothingNow);
  may_return_ = {};
  EXPECT_EQ(Choose("e/1", {"e/1"}).kind, LeaseChoice::Kind::kGrant);
  book_.Apply(LabelerReturned{"d/1"});
  EXPECT_EQ(LabelJob().deaths.at(0).size(), 1U);
}

TEST_F(SuspectShard, GoesFirstToOneThatWasWellAndToAnotherHost) {
  Plan(2);
  Die("c", 1, false);
  Die("d", 1, false);
  EXPECT_EQ(Choose("c/2", {"c/2", "e/1"}).key.shard, 1U);
  const LeaseKey other = Lease(1, "d/2", false);
  at_work_ = {"d/2"};
  EXPECT_EQ(Choose("c/2", {"c/2", "d/2"}).kind, LeaseChoice::Kind::kNothingNow) << "d/2 may soon have proved itself";
  book_.Apply(ShardCommitted{other, "q", {{"f", "s"}}, {1, 1, 0, 0, {}}, {}, 1, 2, 3});
  at_work_ = {};
  EXPECT_EQ(Choose("c/2", {"c/2", "d/2"}).kind, LeaseChoice::Kind::kNothingNow) << "d/2 has";
  EXPECT_EQ(Choose("d/2", {"c/2", "d/2"}).kind, LeaseChoice::Kind::kGrant);
  Die("d", 2, true);
  EXPECT_TRUE(book_.FindLabeler("d/3")->trusted) << "a suspect shard costs nobody his good name";
  EXPECT_EQ(Choose("c/2", {"c/2"}).kind, LeaseChoice::Kind::kGrant) << "nobody else is there";
}

TEST_F(SuspectShard, FailsAfterFourDeathsAloneOnTwoHostsWhereThereAreTwo) {
  Plan(1);
  for (int life = 1; life <= 2; ++life) Die("c", life, false);
  for (int life = 3; life <= 5; ++life) Die("c", life, true);
  EXPECT_FALSE(Fails({"c/6"}));
  Die("c", 6, true);
  EXPECT_TRUE(Fails({"c/7", "d/1"}));
  EXPECT_FALSE(Fails({"c/7", "d/1", "e/1"})) << "host-2 has not tried it";
  EXPECT_EQ(Choose("d/1", {"d/1", "e/1"}).kind, LeaseChoice::Kind::kNothingNow) << "host-1 has said all that it can";
  EXPECT_EQ(Choose("e/1", {"d/1", "e/1"}).kind, LeaseChoice::Kind::kGrant);
  Die("e", 1, true);
  EXPECT_TRUE(Fails({"c/7", "d/1", "e/2"}));
  may_return_ = {"c/1"};
  EXPECT_FALSE(Fails({"e/2"}));
}

TEST_F(SuspectShard, IsClearedByWhoComesFurtherOrOutOfItAlive) {
  ShardsPlanned plan;
  plan.run_id = "r";
  plan.job_id = "label";
  plan.shards = {{"", 0, 100}};
  book_.Apply(plan);
  Die("c", 1, false, 10);
  Die("c", 2, false, 59);
  EXPECT_EQ(LabelJob().deaths.at(0).size(), 2U);
  Die("c", 3, true, 109);
  EXPECT_EQ(LabelJob().deaths.at(0).size(), 1U) << "half a shard further";
  Die("c", 4, false, 0);
  book_.Apply(ShardReleased{Lease(0, "c/5", true), ReleaseReason::kFailed, "q"});
  EXPECT_TRUE(LabelJob().deaths.empty());
}

}  // namespace
}  // namespace ferment::coordinator
