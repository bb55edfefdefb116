// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/labeler_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <variant>

#include "tests/support/engine_test.h"

namespace ferment::coordinator {
namespace {

using ::ferment::testing::SmallSpec;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

/// A label job of 12 shards, and labelers that fail at it, under the rule that is the default: three failures in a row,
/// 5 s, doubled up to 10 min. A lease is of 10 s.
class LabelerDeskTest : public ::ferment::testing::EngineTest {
 protected:
  LabelerDeskTest() {
    world_.run_files.label_shards = 12;
    run_id_ = *engine()->runs().Submit({"submit", SmallSpec(/*videos=*/false), "/runs/small"});
    Settle();
    const auto token = engine()->trainers().TakeToken({run_id_, "teacher", 1, "incarnation", "host", 1, "/runs/small"});
    const TrainerResult result{{}, {{"teacher", "t", "t"}}, {}};
    EXPECT_TRUE(engine()->trainers().Complete({run_id_, "teacher", *token}, result).ok());
    world_.launcher.Exit("teacher/1", 0);
    Settle();
  }
  void Advance(std::chrono::milliseconds time) {
    world_.clock.Advance(time);
    Settle();
  }

  std::string Register(const std::string& name, const std::string& incarnation = "1") {
    return TakeName({name, incarnation, "avx2", "", "host of " + name});
  }
  LeaseAnswer Ask(const std::string& labeler) { return *engine()->leases().Lease({labeler, 1}); }
  LeaseKey LeaseOne(const std::string& labeler) {
    const LeaseAnswer answer = Ask(labeler);
    EXPECT_EQ(answer.leases.size(), 1U);
    return answer.leases.at(0).key;
  }
  void Fail(const std::string& labeler, const LeaseKey& key) {
    const std::string request = "fail-" + std::to_string(key.shard) + "-" + std::to_string(key.epoch);
    EXPECT_TRUE(engine()->leases().FailShard({request, labeler, key, {"cannot read", 69}, false, {}}).ok());
  }
  void FailTimes(const std::string& labeler, int times) {
    for (int i = 0; i < times; ++i) Fail(labeler, LeaseOne(labeler));
  }
  void Commit(const LeaseKey& key) {
    ShardResult result;
    result.request_id = "commit-" + std::to_string(key.shard);
    result.key = key;
    result.files = {{"labels/x/" + std::to_string(key.shard) + ".npz", "sha"}};
    result.counts.read = result.counts.labelled = 10;
    EXPECT_TRUE(engine()->leases().Commit(result));
  }
  template <typename Kind>
  auto LoggedOf() const {
    const auto& events = world_.log->events;
    return std::count_if(events.begin(), events.end(), [](const Event& e) { return std::holds_alternative<Kind>(e); });
  }
  const Job& LabelJob() { return *engine()->book().FindJob(run_id_, "label"); }
};

TEST_F(LabelerDeskTest, WhoFailsThreeTimesInARowIsGrantedNothingForAWhileThatDoubles) {
  const std::string bad = Register("bad");
  const std::string good = Register("good");
  FailTimes(bad, 3);
  LeaseAnswer answer = Ask(bad);
  EXPECT_TRUE(answer.leases.empty());
  EXPECT_FALSE(answer.idle);
  EXPECT_EQ(answer.retry_after, 5s);
  Commit(LeaseOne(good));
  Advance(2s);
  EXPECT_EQ(engine().metrics().labelers_cooling_down.Value(), 1);
  EXPECT_EQ(Ask(bad).retry_after, 3s) << "what is left";
  Advance(3s);
  EXPECT_EQ(engine().metrics().labelers_cooling_down.Value(), 0);
  FailTimes(bad, 1);
  EXPECT_EQ(Ask(bad).retry_after, 10s);
  for (int i = 0; i < 2; ++i) {
    Advance(Ask(bad).retry_after);
    FailTimes(bad, 1);
  }
  EXPECT_EQ(Ask(bad).retry_after, 40s);
  EXPECT_EQ(engine().metrics().cool_down.Value(), 4);
}

TEST_F(LabelerDeskTest, ACommitEndsTheCoolDownAndTheCount) {
  const std::string labeler = Register("labeler");
  Register("other");
  const LeaseKey ahead = LeaseOne(labeler);
  FailTimes(labeler, 3);
  ASSERT_TRUE(Ask(labeler).leases.empty());
  EXPECT_TRUE(engine()->leases().Renew(ahead, 1)) << "what it holds it may finish";
  Commit(ahead);
  FailTimes(labeler, 2);
  EXPECT_EQ(Ask(labeler).leases.size(), 1U) << "two are not three";
}

TEST_F(LabelerDeskTest, AProcessThatDiesAgainAndAgainWithWhatItHoldsCoolsDown) {
  for (int life = 1; life <= 3; ++life) {
    const std::string labeler = Register("labeler", std::to_string(life));
    LeaseOne(labeler);
    LeaseOne(labeler);
  }
  EXPECT_EQ(Ask(Register("labeler", "4")).retry_after, 5s) << "three deaths of six leases";
}

TEST_F(LabelerDeskTest, SilenceIsAFailureAndAnOrderlyReturnIsNone) {
  const std::string labeler = Register("labeler");
  for (int i = 0; i < 3; ++i) {
    LeaseOne(labeler);
    LeaseOne(labeler);
    Advance(10s);
  }
  EXPECT_EQ(Ask(labeler).retry_after, 5s);
  const std::string drained = Register("drained");
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(engine()->leases().Return(LeaseOne(drained)).ok());
  EXPECT_EQ(Ask(drained).leases.size(), 1U);
}

TEST_F(LabelerDeskTest, ARestartForgetsNoFailureAndBeginsTheCoolDownAnew) {
  const std::string labeler = Register("labeler");
  FailTimes(labeler, 3);
  Advance(4s);
  Restart();
  EXPECT_EQ(Ask(labeler).retry_after, 5s);
  Advance(5s);
  FailTimes(labeler, 1);
  Settle();
  Restart();
  EXPECT_EQ(Ask(labeler).retry_after, 10s);
}

TEST_F(LabelerDeskTest, AFailedShardWaitsForALabelerThatLivesAndForNoOther) {
  const std::string bad = Register("bad");
  const std::string good = Register("good");
  std::vector<LeaseKey> held;
  while (LabelJob().pending.size() > 1) held.push_back(LeaseOne(good));
  Fail(bad, LeaseOne(bad));
  EXPECT_EQ(Ask(bad).leases.size(), 0U) << "the last one is for the other";
  for (const LeaseKey& key : held) EXPECT_TRUE(engine()->leases().Return(key).ok());
  Advance(11s);
  std::vector<std::uint64_t> shards;
  for (std::size_t i = 0; i < 12; ++i) shards.push_back(LeaseOne(bad).shard);
  EXPECT_EQ(shards.back(), 11U) << "the other fell silent: also what it failed itself";
}

TEST_F(LabelerDeskTest, WhereEverybodyCoolsDownTheRunGoesOn) {
  const std::string one = Register("one");
  const std::string two = Register("two");
  FailTimes(one, 3);
  FailTimes(two, 3);
  EXPECT_TRUE(Ask(one).leases.empty() && Ask(two).leases.empty());
  Advance(5s);
  while (LabelJob().state == JobState::kRunning) {
    Commit(LeaseOne(one));
    Settle();
  }
  EXPECT_EQ(LabelJob().state, JobState::kSucceeded);
}

TEST_F(LabelerDeskTest, AMachineThatIsAloneStillFailsTheJobInTheEndAndSaysWhy) {
  const std::string labeler = Register("labeler");
  for (int i = 0; LabelJob().state == JobState::kRunning; ++i) {
    ASSERT_LT(i, 12 * 4) << "four times a shard at most";
    Advance(Ask(labeler).retry_after);
    FailTimes(labeler, 1);
    Settle();
  }
  EXPECT_EQ(LabelJob().state, JobState::kFailed);
  EXPECT_EQ(LabelJob().failure.exit_code, 69);
  EXPECT_THAT(LabelJob().failure.message, HasSubstr("cannot read"));
}

TEST_F(LabelerDeskTest, AViewShowsFailuresAndWhatIsLeftOfACoolDown) {
  const std::string labeler = Register("labeler");
  FailTimes(labeler, 3);
  Advance(1s);
  const auto view = engine()->View(run_id_);
  ASSERT_EQ(view->labelers.size(), 1U);
  EXPECT_EQ(view->labelers[0].failures, 3U);
  EXPECT_EQ(view->labelers[0].cool_down_seconds, 4);
}

TEST_F(LabelerDeskTest, AShardThatKillsWhoeverTakesItFailsTheJobAndItsNeighboursAreDone) {
  int life = 1;
  int deaths = 0;
  std::string labeler = Register("labeler");
  while (LabelJob().state == JobState::kRunning) {
    ASSERT_LT(deaths, 7);
    Settle();
    Restart();  // the counts are in the log
    const LeaseAnswer answer = *engine()->leases().Lease({labeler, 2});
    if (answer.leases.empty()) {
      Advance(answer.retry_after);
      continue;
    }
    const bool dies = answer.leases.front().key.shard == 0;
    if (dies) {
      EXPECT_EQ(engine().metrics().suspect_shards.Value(), deaths < 2    ? 0
                                                           : deaths == 2 ? 2
                                                                         : 1)
          << deaths << " deaths; its neighbour is suspect with it until it is tried";
      ++deaths;
      labeler = Register("labeler", std::to_string(++life));
    } else {
      for (const GrantedLease& lease : answer.leases) {
        if (lease.key.shard != 0) Commit(lease.key);
      }
    }
    Settle();
  }
  EXPECT_EQ(deaths, 6) << "two to be suspect, four alone";
  EXPECT_EQ(engine().metrics().suspect_shards.Value(), 0) << "the job has ended";
  EXPECT_EQ(LabelJob().committed, 11U);
  EXPECT_EQ(LabelJob().failure.exit_code, exit_code::kBadData);
  EXPECT_THAT(LabelJob().failure.message, HasSubstr("shard 0 kills its labelers: first_record=0"));
  EXPECT_THAT(LabelJob().failure.message, HasSubstr("labeler on host of labeler alone with it"));
  EXPECT_EQ(LoggedOf<ShardCondemned>(), 1);
  EXPECT_EQ(LoggedOf<ShardFailed>(), 0) << "a coordinator of before takes it for a bug that the shard is not leased";
}

TEST_F(LabelerDeskTest, ARunThatIsSubmittedAgainBeginsWithoutDeaths) {
  std::string labeler = Register("labeler");
  for (const char* life : {"2", "3"}) {
    ASSERT_TRUE(engine()->leases().Lease({labeler, 2}));
    labeler = Register("labeler", life);
  }
  ASSERT_FALSE(LabelJob().deaths.empty());
  EXPECT_TRUE(engine()->steering().Cancel(run_id_, "cancel").ok());
  Settle();
  ASSERT_EQ(LabelJob().state, JobState::kCancelled);
  EXPECT_TRUE(engine()->runs().Submit({"again", SmallSpec(/*videos=*/false), "/runs/small"}));
  Settle();
  EXPECT_EQ(LabelJob().state, JobState::kRunning);
  EXPECT_TRUE(LabelJob().deaths.empty());
}

TEST_F(LabelerDeskTest, NoShardIsBlamedForLabelersThatWereOnlySilent) {
  const std::string labeler = Register("labeler");
  for (int i = 0; i < 8; ++i) {
    Advance(Ask(labeler).retry_after);
    while (!Ask(labeler).leases.empty()) continue;
    Advance(10s);
    EXPECT_FALSE(LabelJob().deaths.empty());
    Ask(labeler);
    EXPECT_TRUE(LabelJob().deaths.empty()) << "it calls again";
  }
  EXPECT_EQ(LabelJob().state, JobState::kRunning);
}

TEST_F(LabelerDeskTest, WhoNeverCallsAgainIsTakenForDeadInTheEnd) {
  for (const char* name : {"a", "b"}) {
    Register(name);
    ASSERT_EQ(LeaseOne(std::string(name) + "/1").shard, 0U);
    Advance(10s);
  }
  const std::string labeler = Register("labeler");
  for (int i = 1; i < 12; ++i) Commit(LeaseOne(labeler));
  EXPECT_TRUE(Ask(labeler).leases.empty()) << "b may yet call";
  Advance(110s);
  EXPECT_EQ(LeaseOne(labeler).shard, 0U);
}

}  // namespace
}  // namespace ferment::coordinator
