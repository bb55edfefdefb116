// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/thread_collective.h"

#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <cstddef>
#include <vector>

#include "tests/contract/collective_contract.h"
#include "tests/support/run_ranks.h"

namespace ferment::worker {
namespace {

class ThreadCollective : public ::testing::TestWithParam<int> {};

TEST_P(ThreadCollective, KeepsTheContract) { testing::RunRanks(GetParam(), testing::ExpectTheContract); }
INSTANTIATE_TEST_SUITE_P(Ranks, ThreadCollective, ::testing::Values(1, 2, 3, 8));

TEST(ThreadCollectiveFailure, NamesHowManyCameWhenOneStaysAway) {
  testing::RunRanks(
      3,
      [](Collective& collective) {
        if (collective.rank() == 2) return;
        const Status status = collective.Barrier();
        EXPECT_FALSE(status.ok());
        EXPECT_TRUE(ProcessExitCode(status) == exit_code::kHang || ProcessExitCode(status) == exit_code::kPeerLost)
            << status.ToString();
      },
      std::chrono::milliseconds(50));
}

TEST(ThreadCollectiveFailure, WakesTheWaitingWhenOneAborts) {
  testing::RunRanks(2, [](Collective& collective) {
    if (collective.rank() == 1) return collective.Abort(1);
    std::vector<float> values(8, 1.0F);
    EXPECT_EQ(ProcessExitCode(collective.AllReduceSum(std::span<float>(values))), exit_code::kPeerLost);
  });
}

// The copy takes longer than the deadline, which is for coming: a root that left meanwhile would free what is read.
TEST(ThreadCollectiveFailure, ARootStaysUntilItsBufferWasRead) {
  constexpr std::size_t kBytes = std::size_t{16} << 20;
  for (int round = 0; round < 8; ++round) {
    std::barrier begin(2);
    bool sent = false;
    bool read = false;
    testing::RunRanks(
        2,
        [&](Collective& collective) {
          const bool root = collective.rank() == 0;
          std::vector<std::byte> bytes(kBytes, root ? std::byte{1} : std::byte{0});
          begin.arrive_and_wait();
          const Status status = collective.Broadcast(bytes, 0);
          (root ? sent : read) = root ? status.ok() : bytes.back() == std::byte{1};
        },
        std::chrono::milliseconds(1));
    EXPECT_EQ(sent, read) << "round=" << round;
  }
}

}  // namespace
}  // namespace ferment::worker
