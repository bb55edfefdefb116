// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/thread_collective.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace ferment::worker
