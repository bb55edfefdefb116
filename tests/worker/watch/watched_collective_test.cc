// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/watched_collective.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "tests/contract/collective_endings.h"
#include "worker/collective/thread_collective.h"

namespace ferment::worker {
namespace {

/// Ranks as threads, each with a board of its own.
void RunWatched(int ranks, const std::function<void(Collective&, RankBoard&)>& body,
                std::chrono::milliseconds deadline = std::chrono::seconds(60)) {
  auto collectives = MakeThreadCollectives(ranks, deadline);
  std::vector<std::jthread> threads;
  for (auto& inner : collectives) {
    threads.emplace_back([&body, inner = std::move(inner)]() mutable {
      RankBoard board;
      const auto watched = MakeWatchedCollective(std::move(inner), board);
      body(*watched, board);
    });
  }
}

class WatchedCollective : public ::testing::TestWithParam<int> {};

TEST_P(WatchedCollective, KeepsTheContract) {
  RunWatched(GetParam(), [](Collective& collective, RankBoard&) { testing::ExpectTheContract(collective); });
}

TEST_P(WatchedCollective, AnAbortEndsTheJob) {
  RunWatched(GetParam(), [](Collective& collective, RankBoard&) {
    testing::ExpectAnAbortEndsTheJob(testing::ContractMemory(), collective, exit_code::kHang);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, WatchedCollective, ::testing::Values(1, 2, 3, 8));

TEST(WatchedCollectiveBoard, CountsEveryVerbAndNamesTheLast) {
  RunWatched(2, [](Collective& collective, RankBoard& board) {
    std::vector<float> floats(3);
    std::vector<double> doubles(3);
    std::vector<std::byte> mine(4);
    std::vector<std::byte> all(8);
    std::uint64_t count = 0;
    const auto expect = [&](Verb verb, const Status& status) {
      EXPECT_TRUE(status.ok()) << status.ToString();
      const RankSign sign = board.Sign();
      EXPECT_EQ(sign.collectives, ++count) << NameOf(verb);
      EXPECT_EQ(sign.verb, verb) << NameOf(sign.verb);
      EXPECT_FALSE(sign.waiting) << NameOf(verb);
    };
    expect(Verb::kAllReduce, collective.AllReduceSum(std::span<float>(floats)));
    expect(Verb::kAllReduce, collective.AllReduceSum(std::span<double>(doubles)));
    expect(Verb::kBroadcast, collective.Broadcast(mine, 1));
    expect(Verb::kAllGather, collective.AllGather(mine, all));
    expect(Verb::kBarrier, collective.Barrier());
    auto part = collective.Split(0);
    expect(Verb::kSplit, part ? Status() : part.error());
    expect(Verb::kBarrier, (*part)->Barrier());  // of the part, on the same board
    const metrics::Distribution seconds = board.CollectiveSeconds();
    EXPECT_TRUE(seconds.Fits(metrics::kCollectiveSecondsBounds));
    EXPECT_EQ(std::accumulate(seconds.counts.begin(), seconds.counts.end(), std::uint64_t{0}), count);
    EXPECT_GT(seconds.sum, 0);
  });
}

TEST(WatchedCollectiveBoard, IsWaitingInsideOfAVerbAndNotAfterOneThatFailed) {
  std::atomic<RankBoard*> first = nullptr;
  std::atomic<bool> seen = false;
  RunWatched(2, [&](Collective& collective, RankBoard& board) {
    if (collective.rank() == 0) {
      first = &board;
      EXPECT_FALSE(collective.Barrier().ok());
      EXPECT_FALSE(board.Sign().waiting);
      while (!seen) std::this_thread::yield();
      return;
    }
    while (first.load() == nullptr) std::this_thread::yield();
    while (!first.load()->Sign().waiting) std::this_thread::yield();
    collective.Abort(1);
    seen = true;
  });
}

TEST(RankBoard, NestedCollectivesEndWithTheOutermost) {
  RankBoard board;
  board.BeginCollective(Verb::kAllReduce);
  board.BeginCollective(Verb::kBroadcast);
  board.EndCollective();
  EXPECT_TRUE(board.Sign().waiting);
  EXPECT_TRUE(board.CollectiveSeconds().counts.empty());
  board.EndCollective();
  EXPECT_FALSE(board.Sign().waiting);
  EXPECT_EQ(board.Sign().collectives, 2U);
  const auto counts = board.CollectiveSeconds().counts;
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0U), 1U) << "the inner one's time is the outer one's";
  board.EnterStep(8);
  EXPECT_EQ(board.Sign().step, 8U);
  EXPECT_EQ(board.Sign().activity, Activity::kStepping);
}

}  // namespace
}  // namespace ferment::worker
