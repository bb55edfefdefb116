// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/rank_table.h"

#include <gtest/gtest.h>

#include <functional>

namespace ferment::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Three ranks and their judge, who hears each of them once a second.
class RankTableTest : public ::testing::Test {
 protected:
  static constexpr int kRanks = 3;
  using Behave = std::function<void(int rank, RankSign& sign)>;

  /// A step a second, in no collective when it is looked at.
  static void Work(RankSign& sign) {
    ++sign.step;
    sign.collectives += 4;
    sign.cpu_microseconds += 900'000;
    sign.waiting = false;
  }
  static void Wait(RankSign& sign) {
    if (!sign.waiting) ++sign.collectives;
    sign.waiting = true;
    sign.cpu_microseconds += 900'000;  // MPI polls
  }
  static void Compute(RankSign& sign) {
    sign.waiting = false;
    sign.cpu_microseconds += 900'000;
  }
  static void Sleep(RankSign& sign) {
    sign.waiting = false;
    sign.cpu_microseconds += 100;
  }
  static Behave Everybody(void (*how)(RankSign&)) {
    return [how](int, RankSign& sign) { how(sign); };
  }
  /// Rank 1 does so, the others wait for it.
  static Behave Rank1(void (*how)(RankSign&)) {
    return [how](int rank, RankSign& sign) { rank == 1 ? how(sign) : Wait(sign); };
  }

  /// Seconds of beats from all ranks but `silent`. Returns: the first verdict.
  std::optional<Verdict> Pass(int count, const Behave& behave, int silent = -1) {
    for (int i = 0; i < count; ++i) {
      now_ += seconds(1);
      for (int r = 0; r < kRanks; ++r) {
        if (r == silent) continue;
        behave(r, signs_[r]);
        table_.HearSign(r, signs_[r], now_);
      }
      if (auto verdict = table_.Judge(now_)) return verdict;
    }
    return std::nullopt;
  }
  void Everywhere(Activity activity) {
    for (RankSign& sign : signs_) sign.activity = activity;
  }
  void SetUp() override { Everywhere(Activity::kStepping); }

  MonotonicTime now_ = MonotonicTime(std::chrono::hours(1));
  RankSign signs_[kRanks];
  RankTable table_{kRanks, WatchLimits(), now_};
};

TEST_F(RankTableTest, AJobThatMovesIsLeftAlone) { EXPECT_FALSE(Pass(2000, Everybody(Work))); }

TEST_F(RankTableTest, AClosedConnectionWithoutAFarewellIsADeadRankWithItsLastSign) {
  ASSERT_FALSE(Pass(7, Everybody(Work)));
  table_.HearEnd(1, now_);
  const auto verdict = table_.Judge(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_EQ(verdict->fate, Fate::kDead);
  EXPECT_EQ(verdict->last.step, 7U);
  EXPECT_EQ(verdict->last.collectives, 28U);
}

TEST_F(RankTableTest, AClosedConnectionAfterAFarewellIsNothing) {
  table_.HearFarewell(1);
  table_.HearEnd(1, now_);
  EXPECT_FALSE(Pass(100, Everybody(Work), /*silent=*/1));
  EXPECT_FALSE(table_.AllHaveLeft());
  table_.HearFarewell(0);
  table_.HearFarewell(2);
  EXPECT_TRUE(table_.AllHaveLeft());
}

TEST_F(RankTableTest, OfTwoDeadTheOneThatDiedFirstIsNamed) {
  table_.HearEnd(2, now_);
  table_.HearEnd(1, now_ + milliseconds(10));
  EXPECT_EQ(table_.Judge(now_ + milliseconds(20))->rank, 2);
}

TEST_F(RankTableTest, SilenceIsAStoppedRankAtItsLimitAndNotBefore) {
  ASSERT_FALSE(Pass(5, Everybody(Work)));
  ASSERT_FALSE(Pass(14, Everybody(Work), /*silent=*/2));
  const auto verdict = Pass(1, Everybody(Work), /*silent=*/2);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_EQ(verdict->fate, Fate::kStopped);
  EXPECT_EQ(verdict->since, seconds(15));
  EXPECT_EQ(verdict->last.step, 5U);
}

TEST_F(RankTableTest, TheSilentOneIsNamedNotThoseWhoWaitForIt) {
  const auto verdict = Pass(60, Rank1(Sleep), /*silent=*/1);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_EQ(verdict->fate, Fate::kStopped);
}

TEST_F(RankTableTest, AnyWordEndsTheSilence) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_FALSE(Pass(14, Everybody(Work), /*silent=*/2));
    ASSERT_FALSE(Pass(1, Everybody(Work)));
  }
}

TEST_F(RankTableTest, TheDeadComeBeforeTheStopped) {
  ASSERT_FALSE(Pass(14, Everybody(Work), /*silent=*/2));
  table_.HearEnd(1, now_);
  const auto verdict = Pass(1, Everybody(Work), /*silent=*/2);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
}

TEST_F(RankTableTest, AJudgeThatDidNotRunItselfForgivesAllSilenceOnce) {
  ASSERT_FALSE(Pass(5, Everybody(Work)));
  now_ += std::chrono::hours(3);  // the whole job was suspended
  EXPECT_FALSE(table_.Judge(now_));
  EXPECT_FALSE(Pass(14, Everybody(Work), /*silent=*/1));
  const auto verdict = Pass(1, Everybody(Work), /*silent=*/1);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->since, seconds(15));
}

TEST_F(RankTableTest, ASuspendedJobForgivesWaitingToo) {
  ASSERT_FALSE(Pass(19, Rank1(Sleep)));
  now_ += std::chrono::minutes(30);
  ASSERT_FALSE(table_.Judge(now_));
  EXPECT_FALSE(Pass(19, Rank1(Sleep)));
  EXPECT_TRUE(Pass(2, Rank1(Sleep)));
}

TEST_F(RankTableTest, ARankThatSleepsInAStepWhileAllOthersWaitIsStuck) {
  ASSERT_FALSE(Pass(3, Everybody(Work)));
  const auto verdict = Pass(60, Rank1(Sleep));
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_EQ(verdict->fate, Fate::kStuck);
  EXPECT_LE(verdict->since, seconds(22));
  EXPECT_EQ(verdict->last.step, 3U);
}

TEST_F(RankTableTest, ARankThatWorksInAStepWhileOthersWaitHasUntilTheLongLimit) {
  EXPECT_FALSE(Pass(294, Rank1(Compute)));
  const auto verdict = Pass(5, Rank1(Compute));
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_EQ(verdict->fate, Fate::kStuck);
}

TEST_F(RankTableTest, ARankThatSleepsOutsideOfAStepHasUntilTheLongLimit) {
  for (const Activity activity : {Activity::kPreparing, Activity::kSaving, Activity::kFinishing, Activity::kLeaving}) {
    signs_[1].activity = activity;  // a disk, or the coordinator, takes its time
    ASSERT_FALSE(Pass(280, Rank1(Sleep))) << NameOf(activity);
    ASSERT_FALSE(Pass(1, Everybody(Work)));
  }
}

TEST_F(RankTableTest, ARankThatWaitsForADiskHasUntilTheLongLimit) {
  const auto behave = Rank1([](RankSign& sign) {
    Sleep(sign);
    sign.at_disk = true;
  });
  EXPECT_FALSE(Pass(294, behave));
  const auto verdict = Pass(5, behave);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
}

TEST_F(RankTableTest, ASleeperIsNotStuckWhileAnotherStillWorks) {
  EXPECT_FALSE(Pass(290, [](int rank, RankSign& sign) {
    if (rank == 0) Wait(sign);
    if (rank == 1) Sleep(sign);
    if (rank == 2) Compute(sign);
  }));
}

TEST_F(RankTableTest, OfTwoSleepersTheOneThatFellAsleepFirstIsNamed) {
  const auto behave = [](int rank, RankSign& sign) { rank == 0 ? Wait(sign) : Sleep(sign); };
  ASSERT_FALSE(Pass(2, [&](int rank, RankSign& sign) { rank == 2 ? Sleep(sign) : Work(sign); }));
  const auto verdict = Pass(60, behave);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
}

TEST_F(RankTableTest, ARankThatSleepsInACollectiveInWhichOthersPollIsStuck) {
  const auto held = [](int rank, RankSign& sign) {
    if (rank == 2) sign.cpu_microseconds -= 900'000;
    Wait(sign);
  };
  ASSERT_FALSE(Pass(3, Everybody(Work)));
  const auto verdict = Pass(60, held);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_EQ(verdict->fate, Fate::kStuck);
  EXPECT_TRUE(verdict->last.waiting);
}

TEST_F(RankTableTest, TheSleeperOutsideOfTheCollectiveIsNamedBeforeOneInside) {
  const auto verdict = Pass(60, [](int rank, RankSign& sign) {
    if (rank == 2) sign.cpu_microseconds -= 900'000;
    rank == 1 ? Sleep(sign) : Wait(sign);
  });
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
}

TEST_F(RankTableTest, WhereAllSleepInACollectiveNobodyIsNamed) {
  EXPECT_FALSE(Pass(1000, [](int, RankSign& sign) {
    sign.cpu_microseconds -= 900'000;
    Wait(sign);
  }));
}

TEST_F(RankTableTest, WhereAllWaitNobodyIsNamed) { EXPECT_FALSE(Pass(1000, Everybody(Wait))); }

TEST_F(RankTableTest, WhereNobodyWaitsNobodyIsNamed) {
  EXPECT_FALSE(Pass(1000, Everybody(Sleep)));
  EXPECT_FALSE(Pass(1000, Everybody(Compute)));
}

TEST_F(RankTableTest, GroupsWithCollectivesOfTheirOwnAreNotCompared) {
  EXPECT_FALSE(Pass(1000, [](int rank, RankSign& sign) {
    sign.collectives += rank == 2 ? 100 : 1;
    sign.waiting = rank != 2;
  }));
}

TEST_F(RankTableTest, ManyShortWaitsAreNotOneLongOne) {
  EXPECT_FALSE(Pass(1000, [](int rank, RankSign& sign) {
    if (rank != 1) ++sign.collectives;  // each second another one
    rank == 1 ? Sleep(sign) : Wait(sign);
  }));
}

TEST_F(RankTableTest, WhoWaitsForOneThatHasLeftIsNotStuck) {
  table_.HearFarewell(1);
  EXPECT_FALSE(Pass(
      1000, [](int, RankSign& sign) { Wait(sign); }, /*silent=*/1));
}

TEST_F(RankTableTest, TellsSinceWhenEachRankHasNotMoved) {
  ASSERT_FALSE(Pass(3, Everybody(Work)));
  EXPECT_EQ(table_.IdleSeconds(now_), (std::vector<double>{0, 0, 0}));
  ASSERT_FALSE(Pass(10, Rank1(Compute)));
  EXPECT_EQ(table_.IdleSeconds(now_), (std::vector<double>{9, 10, 9})) << "the others moved into their collective";
  ASSERT_FALSE(Pass(1, Everybody(Work)));
  EXPECT_EQ(table_.IdleSeconds(now_ + milliseconds(500)), (std::vector<double>{0.5, 0.5, 0.5}));
  table_.HearFarewell(2);
  EXPECT_EQ(table_.IdleSeconds(now_ + seconds(5)), (std::vector<double>{5, 5, 0}));
}

TEST_F(RankTableTest, ARankThatOthersWaitForIsToldOnceUntilItMoves) {
  for (int i = 0; i < 2; ++i) {
    ASSERT_FALSE(Pass(3, Everybody(Work)));
    ASSERT_FALSE(Pass(25, Rank1(Compute)));
    EXPECT_FALSE(table_.NewlyAwaited(now_)) << "the others came a second later";
    ASSERT_FALSE(Pass(1, Rank1(Compute)));
    const auto awaited = table_.NewlyAwaited(now_);
    ASSERT_TRUE(awaited);
    EXPECT_EQ(awaited->rank, 1);
    EXPECT_EQ(awaited->since, seconds(26));
    ASSERT_FALSE(Pass(60, Rank1(Compute)));
    EXPECT_FALSE(table_.NewlyAwaited(now_));
  }
}

TEST_F(RankTableTest, WhereNobodyWaitsOrAllDoNobodyIsAwaited) {
  for (auto* how : {Compute, Wait}) {
    ASSERT_FALSE(Pass(100, Everybody(how)));
    EXPECT_FALSE(table_.NewlyAwaited(now_));
  }
}

TEST_F(RankTableTest, AFarewellLimitLetsAnotherSpeakFirst) {
  WatchLimits limits;
  limits.farewell = seconds(2);
  RankTable table(1, limits, now_);
  table.HearEnd(0, now_);
  EXPECT_FALSE(table.Judge(now_ + seconds(1)));
  EXPECT_EQ(table.Judge(now_ + seconds(2))->fate, Fate::kDead);
}

}  // namespace
}  // namespace ferment::worker
