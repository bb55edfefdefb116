// SPDX-License-Identifier: Apache-2.0
#include "tests/coordinator/core/lease_policy_fixture.h"

namespace ferment::coordinator {
namespace {

/// Labelers c and d on one host, e on another, and shard 0, which processes die with.
class SuspectShard : public LeasePolicyFixture {
 protected:
  void SetUp() override {
    LeasePolicyFixture::SetUp();
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
  book_.Apply(ShardCommitted{other, "q", {{"f", "s"}}, {1, 1, 0, 0, {}}, 1, 2, 3});
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

TEST_F(SuspectShard, StandsApartFromTheOthersAsLongAsItIsOne) {
  Plan(2);
  Die("c", 1, false);
  book_.Apply(ShardReleased{Lease(0, "d/1", false), ReleaseReason::kExpired, ""});
  EXPECT_EQ(LabelJob().suspects, std::set<std::uint64_t>{0});
  EXPECT_EQ(LabelJob().pending, std::set<std::uint64_t>{1});
  EXPECT_EQ(LabelJob().CountPending(), 2U);
  book_.Apply(LabelerReturned{"d/1"});
  EXPECT_TRUE(LabelJob().suspects.empty());
  EXPECT_EQ(LabelJob().pending, (std::set<std::uint64_t>{0, 1}));
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
  book_.Apply(ShardCommitted{other, "q", {{"f", "s"}}, {1, 1, 0, 0, {}}, 1, 2, 3});
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

TEST_F(SuspectShard, OnTrialKeepsNobodyElseFromWork) {
  Plan(2);
  Die("c", 1, false);
  Die("d", 1, false);
  Lease(0, "e/1", true);
  EXPECT_EQ(Choose("e/1").kind, LeaseChoice::Kind::kNothingNow);
  EXPECT_EQ(Choose("c/2").key.shard, 1U);
}

TEST_F(SuspectShard, IsTriedNeitherWhileItsRunIsSuspendedNorByAnotherClassOfMachine) {
  Plan(1, "avx2");
  Die("c", 1, false);
  Die("d", 1, false);
  EXPECT_EQ(Choose("b").kind, LeaseChoice::Kind::kWrongMachine) << "b is avx512";
  book_.Apply(RunUpdated{"r", "", true, {}, 0});
  EXPECT_EQ(Choose("e/1").kind, LeaseChoice::Kind::kNothingNow);
  book_.Apply(RunUpdated{"r", "", false, {}, 0});
  EXPECT_EQ(Choose("e/1").kind, LeaseChoice::Kind::kGrant);
}

TEST_F(SuspectShard, FailsOnlyOnceNobodyHoldsItAndOnlyForMachinesThatFit) {
  Plan(1, "avx2");
  EXPECT_FALSE(Fails({"c/1"})) << "nobody died";
  for (int life = 1; life <= 4; ++life) Die("c", life, true);
  EXPECT_TRUE(Fails({"c/5", "b"})) << "b is avx512: it is not waited for";
  Lease(0, "e/1", true);
  EXPECT_FALSE(Fails({"c/5"}));
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
