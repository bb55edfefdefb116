// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/mpi_collective.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <vector>

#include "tests/contract/collective_endings.h"

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

/// More bytes than an int counts: 2.3 GB a rank.
TEST(MpiCollective, SumsBuffersPastTwoToThe31Bytes) {
  if (std::getenv("FERMENT_LONG_TESTS") == nullptr) GTEST_SKIP() << "set FERMENT_LONG_TESTS=1";
  for (const HostMemory memory : {HostMemory::kShared, HostMemory::kUnused}) {
    auto collective = MakeMpiCollective(std::chrono::seconds(120), memory);
    ASSERT_TRUE(collective);
    if ((*collective)->size() != 2) GTEST_SKIP() << "for two ranks";
    std::vector<float> values((std::size_t{1} << 29) + (std::size_t{1} << 25) + 3);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(i % 1021) + static_cast<float>((*collective)->rank());
    ASSERT_TRUE((*collective)->AllReduceSum(std::span<float>(values)).ok());
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], 2 * static_cast<float>(i % 1021) + 1) << i;
  }
}

/// Returns: bytes that differ from rank to rank and from place to place; no piece's length is a multiple of their
/// period.
std::vector<std::byte> BytesOf(int rank, std::size_t length) {
  std::vector<std::byte> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i % 251 + static_cast<std::size_t>(rank));
  return bytes;
}

void ExpectGathersLong(Collective& collective, std::size_t length) {
  std::vector<std::byte> all(length * static_cast<std::size_t>(collective.size()));
  ASSERT_TRUE(collective.AllGather(BytesOf(collective.rank(), length), all).ok());
  for (int r = 0; r < collective.size(); ++r) {
    const auto part = std::span(all).subspan(static_cast<std::size_t>(r) * length, length);
    EXPECT_TRUE(std::ranges::equal(part, BytesOf(r, length))) << "of rank " << r;
  }
}

/// More than one of MPI's calls takes: 270 MB a rank, as much as a step of 448 faces of 224 x 224 has for a record.
TEST(MpiCollective, GathersBuffersPastTwoToThe28Bytes) {
  auto collective = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(collective);
  if ((*collective)->size() != 2) GTEST_SKIP() << "for two ranks";
  ExpectGathersLong(**collective, (std::size_t{1} << 28) + 1'310'723);
}

/// Broadcast: as many as above; gathered: as many once they are together.
TEST(MpiCollective, BroadcastsAndGathersBuffersPastTwoToThe31Bytes) {
  if (std::getenv("FERMENT_LONG_TESTS") == nullptr) GTEST_SKIP() << "set FERMENT_LONG_TESTS=1";
  auto collective = MakeMpiCollective(std::chrono::seconds(120));
  ASSERT_TRUE(collective);
  if ((*collective)->size() != 2) GTEST_SKIP() << "for two ranks";
  constexpr std::size_t kLength = (std::size_t{1} << 31) + (std::size_t{1} << 27) + 3;
  for (const int root : {0, 1}) {
    std::vector<std::byte> bytes(kLength);
    if ((*collective)->rank() == root) bytes = BytesOf(root, kLength);
    ASSERT_TRUE((*collective)->Broadcast(bytes, root).ok());
    EXPECT_TRUE(bytes == BytesOf(root, kLength)) << "from rank " << root;
  }
  ExpectGathersLong(**collective, kLength / 2);
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
