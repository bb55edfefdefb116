// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/thread_collective.h"

#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <cstddef>
#include <vector>

#include "tests/contract/collective_endings.h"
#include "tests/contract/collective_long_buffers.h"
#include "tests/support/run_ranks.h"

namespace ferment::worker {
namespace {

class ThreadCollective : public ::testing::TestWithParam<int> {};

TEST_P(ThreadCollective, KeepsTheContract) { testing::RunRanks(GetParam(), testing::ExpectTheContract); }

TEST_P(ThreadCollective, ABarrierHasADeadline) {
  constexpr std::chrono::milliseconds kDeadline(50);
  const auto hurried = MakeThreadCollectives(GetParam(), kDeadline);
  testing::RunRanks(GetParam(), [&](Collective& patient) {
    testing::ExpectABarrierHasADeadline(*hurried[static_cast<std::size_t>(patient.rank())], kDeadline, patient);
  });
}

TEST_P(ThreadCollective, AnAbortEndsTheJob) {
  testing::RunRanks(GetParam(), [](Collective& collective) {
    testing::ExpectAnAbortEndsTheJob(testing::ContractMemory(), collective, exit_code::kHang);
  });
}

// A thread cannot die alone: its rank leaves, and nobody tells the others.
TEST_P(ThreadCollective, ADeathIsNobodysSuccess) {
  testing::RunRanks(
      GetParam(),
      [](Collective& collective) {
        testing::ExpectADeathIsNobodysSuccess(testing::ContractMemory(), collective, [] {});
      },
      std::chrono::milliseconds(500));
}

INSTANTIATE_TEST_SUITE_P(Ranks, ThreadCollective, ::testing::Values(1, 2, 3, 8));

TEST(ThreadCollective2Ranks, TakesBuffersPastTwoToThe31Bytes) {
  if (!testing::TakesLong()) GTEST_SKIP() << "set FERMENT_LONG_TESTS=1";
  testing::RunRanks(2, [](Collective& collective) {
    testing::ExpectSumsPastTwoToThe31Bytes(collective);
    testing::ExpectBroadcastsAndGathersPastTwoToThe31Bytes(collective);
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
