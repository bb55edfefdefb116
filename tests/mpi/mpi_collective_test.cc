// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/mpi_collective.h"

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "tests/contract/collective_endings.h"
#include "tests/contract/collective_long_buffers.h"

namespace ferment::worker {
namespace {

TEST(MpiCollective, KeepsTheContract) {
  auto collective = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(collective) << collective.error().ToString();
  testing::ExpectTheContract(**collective);
}

TEST(MpiCollective, KeepsTheContractAsOverSeveralHosts) {
  auto collective = MakeMpiCollective(std::chrono::seconds(60), HostMemory::kUnused);
  ASSERT_TRUE(collective) << collective.error().ToString();
  testing::ExpectTheContract(**collective);
}

TEST(MpiCollective, SumsLongBuffersInSharedMemoryToTheBitsOfMpi) {
  auto shared = MakeMpiCollective(std::chrono::seconds(60));
  auto plain = MakeMpiCollective(std::chrono::seconds(60), HostMemory::kUnused);
  ASSERT_TRUE(shared && plain);
  if ((*shared)->size() > 2) return;  // the order of three summands is MPI's own
  std::vector<float> one(300'001);
  for (std::size_t i = 0; i < one.size(); ++i)
    one[i] = 1.0F / static_cast<float>(i + 7 * static_cast<std::size_t>((*shared)->rank()) + 1);
  std::vector<float> other = one;
  ASSERT_TRUE((*shared)->AllReduceSum(std::span<float>(one)).ok());
  ASSERT_TRUE((*plain)->AllReduceSum(std::span<float>(other)).ok());
  EXPECT_EQ(one, other);
}

TEST(MpiCollective, SumsBuffersPastTwoToThe31Bytes) {
  if (!testing::TakesLong()) GTEST_SKIP() << "set FERMENT_LONG_TESTS=1";
  for (const HostMemory memory : {HostMemory::kShared, HostMemory::kUnused}) {
    auto collective = MakeMpiCollective(std::chrono::seconds(120), memory);
    ASSERT_TRUE(collective);
    if ((*collective)->size() != 2) GTEST_SKIP() << "for two ranks";
    testing::ExpectSumsPastTwoToThe31Bytes(**collective);
  }
}

/// More than one of MPI's calls takes: 270 MB a rank, as much as a step of 448 faces of 224 x 224 has for a record.
TEST(MpiCollective, GathersBuffersPastTwoToThe28Bytes) {
  auto collective = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(collective);
  if ((*collective)->size() != 2) GTEST_SKIP() << "for two ranks";
  testing::ExpectGathersLong(**collective, (std::size_t{1} << 28) + 1'310'723);
}

TEST(MpiCollective, BroadcastsAndGathersBuffersPastTwoToThe31Bytes) {
  if (!testing::TakesLong()) GTEST_SKIP() << "set FERMENT_LONG_TESTS=1";
  auto collective = MakeMpiCollective(std::chrono::seconds(120));
  ASSERT_TRUE(collective);
  if ((*collective)->size() != 2) GTEST_SKIP() << "for two ranks";
  testing::ExpectBroadcastsAndGathersPastTwoToThe31Bytes(**collective);
}

TEST(MpiCollective, SaysWhenTheOthersDoNotComeToASum) {
  for (const HostMemory memory : {HostMemory::kShared, HostMemory::kUnused}) {
    auto collective = MakeMpiCollective(std::chrono::milliseconds(100), memory);
    auto all = MakeMpiCollective(std::chrono::seconds(60));
    ASSERT_TRUE(collective && all);
    std::vector<float> values(1'000'000);
    if ((*all)->size() > 1 && (*all)->rank() == 0) {
      const Status status = (*collective)->AllReduceSum(std::span<float>(values));
      EXPECT_EQ(ProcessExitCode(status), exit_code::kHang) << status.ToString();
    }
    ASSERT_TRUE((*all)->Barrier().ok());
    // MPI must not be left with half of a sum.
    if ((*all)->rank() > 0) {
      EXPECT_TRUE((*collective)->BeginSum(std::span<float>(values)).ok());
    }
    if ((*all)->size() > 1 && memory == HostMemory::kUnused) {
      EXPECT_TRUE((*collective)->AwaitSums().ok());
    }
    ASSERT_TRUE((*all)->Barrier().ok());
  }
}

TEST(MpiCollective, ABarrierHasADeadline) {
  constexpr std::chrono::milliseconds kDeadline(100);
  const auto hurried = MakeMpiCollective(kDeadline);
  const auto patient = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(hurried && patient);
  testing::ExpectABarrierHasADeadline(**hurried, kDeadline, **patient);
}

}  // namespace
}  // namespace ferment::worker
