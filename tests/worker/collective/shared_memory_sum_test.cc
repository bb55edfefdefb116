// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/shared_memory_sum.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <thread>
#include <vector>

namespace ferment::worker {
namespace {

std::string NameOf(const char* test) { return std::string("/ferment-test-") + test + "-" + std::to_string(getpid()); }

/// Ranks are threads, each with a mapping of its own.
void RunSharing(int ranks, const char* test, const std::function<void(SharedMemorySum&, int)>& body) {
  const std::size_t bytes = SharedMemorySum::SegmentBytes(ranks);
  std::vector<SharedMemorySum> sums;
  sums.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    auto segment = rank == 0 ? SharedSegment::Create(NameOf(test), bytes) : SharedSegment::Open(NameOf(test), bytes);
    ASSERT_TRUE(segment) << segment.error().ToString();
    sums.emplace_back(*std::move(segment), rank, ranks);
  }
  SharedSegment::Unlink(NameOf(test));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] { body(sums[static_cast<std::size_t>(rank)], rank); });
}

void AwaitAll(SharedMemorySum& sum, std::uint64_t last) {
  while (sum.finished() < last) {
    sum.Advance();
    std::this_thread::yield();
  }
}

TEST(SharedMemorySum, SumsAQueueOfBothTypesInTheOrderOfRanks) {
  for (const int ranks : {1, 2, 3, 5}) {
    RunSharing(ranks, "queue", [ranks](SharedMemorySum& sum, int rank) {
      for (int round = 0; round < 3; ++round) {
        std::vector<float> empty;
        std::vector<float> floats(50'001);
        std::vector<double> doubles(17);
        // 1 is lost beside 1e8 in float32: the order of three summands shows in the result.
        for (std::size_t i = 0; i < floats.size(); ++i) floats[i] = rank == 0 ? 1e8F : rank == 1 ? -1e8F : 1.0F;
        for (std::size_t i = 0; i < doubles.size(); ++i) doubles[i] = static_cast<double>(i) + rank;
        sum.Begin(std::span<float>(empty));
        sum.Begin(std::span<float>(floats));
        AwaitAll(sum, sum.Begin(std::span<double>(doubles)));
        const float expected = ranks == 1 ? 1e8F : static_cast<float>(ranks - 2);
        for (const float value : floats) ASSERT_EQ(value, expected);
        for (std::size_t i = 0; i < doubles.size(); ++i)
          ASSERT_EQ(doubles[i], ranks * static_cast<double>(i) + ranks * (ranks - 1) / 2);
      }
    });
  }
}

TEST(SharedMemorySum, WaitsForNobody) {
  RunSharing(2, "alone", [](SharedMemorySum& sum, int rank) {
    if (rank == 1) return;
    std::vector<float> values(1'000'000, 1.0F);
    sum.Begin(std::span<float>(values));
    for (int i = 0; i < 1000; ++i) sum.Advance();
    EXPECT_EQ(sum.finished(), 0u);
  });
}

TEST(SharedMemorySum, TheNameOfASegmentIsTakenOnce) {
  const std::string name = NameOf("twice");
  const auto first = SharedSegment::Create(name, 4096);
  ASSERT_TRUE(first) << first.error().ToString();
  const auto second = SharedSegment::Create(name, 4096);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), StatusCode::kAlreadyExists);
  SharedSegment::Unlink(name);
  const auto gone = SharedSegment::Open(name, 4096);
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().message().find(name), std::string::npos);
}

TEST(SharedMemorySum, MemoryThatIsNotThereIsSaidAndNotTouched) {
  const auto segment = SharedSegment::Create(NameOf("huge"), std::size_t{1} << 50);
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(SharedSegment::Open(NameOf("huge"), 4096)) << "its name is gone";
}

}  // namespace
}  // namespace ferment::worker
