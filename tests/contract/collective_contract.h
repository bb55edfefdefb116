// SPDX-License-Identifier: Apache-2.0
//
// What every backend of Collective owes, as checks that each rank makes for itself.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "worker/collective/collective.h"

namespace ferment::testing {

/// Lengths that are empty, odd, and longer than one packet.
inline constexpr std::size_t kContractLengths[] = {0, 1, 3, 17, 1024, 100'003};

template <typename T>
void ExpectSumsOverRanks(worker::Collective& collective) {
  for (const std::size_t length : kContractLengths) {
    std::vector<T> values(length);
    for (std::size_t i = 0; i < length; ++i)
      values[i] = static_cast<T>((i % 97) * static_cast<std::size_t>(collective.rank() + 1));
    ASSERT_TRUE(collective.AllReduceSum(std::span<T>(values)).ok());
    const std::size_t ranks = static_cast<std::size_t>(collective.size());
    for (std::size_t i = 0; i < length; ++i)
      ASSERT_EQ(values[i], static_cast<T>((i % 97) * ranks * (ranks + 1) / 2)) << "i=" << i;
  }
}

inline void ExpectBroadcastsFromAnyRoot(worker::Collective& collective) {
  for (int root = 0; root < collective.size(); ++root) {
    for (const std::size_t length : kContractLengths) {
      std::vector<std::byte> bytes(length, static_cast<std::byte>(collective.rank() == root ? 40 + root : 0));
      ASSERT_TRUE(collective.Broadcast(bytes, root).ok());
      for (const std::byte b : bytes) ASSERT_EQ(b, static_cast<std::byte>(40 + root));
    }
  }
}

inline void ExpectGathersInRankOrder(worker::Collective& collective) {
  for (const std::size_t length : kContractLengths) {
    const std::vector<std::byte> mine(length, static_cast<std::byte>(collective.rank()));
    std::vector<std::byte> all(length * static_cast<std::size_t>(collective.size()));
    ASSERT_TRUE(collective.AllGather(mine, all).ok());
    for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], static_cast<std::byte>(i / length));
  }
}

inline void ExpectSumsAreTheSameBitsEverywhere(worker::Collective& collective) {
  std::vector<float> values(1001);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 1.0F / static_cast<float>(i + 3 * static_cast<std::size_t>(collective.rank()) + 1);
  ASSERT_TRUE(collective.AllReduceSum(std::span<float>(values)).ok());
  const auto mine = std::as_bytes(std::span<const float>(values));
  std::vector<std::byte> all(mine.size() * static_cast<std::size_t>(collective.size()));
  ASSERT_TRUE(collective.AllGather(mine, all).ok());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], mine[i % mine.size()]);
}

inline void ExpectSplitsByColor(worker::Collective& collective) {
  auto part = collective.Split(collective.rank() % 2);
  ASSERT_TRUE(part);
  EXPECT_EQ((*part)->rank(), collective.rank() / 2);
  std::vector<double> one{1.0};
  ASSERT_TRUE((*part)->AllReduceSum(std::span<double>(one)).ok());
  EXPECT_EQ(one[0], static_cast<double>((*part)->size()));
  EXPECT_EQ((*part)->size(), (collective.size() + 1 - collective.rank() % 2) / 2);
  ASSERT_TRUE(collective.Barrier().ok());
}

inline void ExpectTheContract(worker::Collective& collective) {
  ASSERT_GE(collective.rank(), 0);
  ASSERT_LT(collective.rank(), collective.size());
  ExpectSumsOverRanks<float>(collective);
  ExpectSumsOverRanks<double>(collective);
  ExpectBroadcastsFromAnyRoot(collective);
  ExpectGathersInRankOrder(collective);
  ExpectSumsAreTheSameBitsEverywhere(collective);
  ExpectSplitsByColor(collective);
  ASSERT_TRUE(collective.Barrier().ok());
}

}  // namespace ferment::testing
