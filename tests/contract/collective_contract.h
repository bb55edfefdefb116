// SPDX-License-Identifier: Apache-2.0
//
// What every backend of Collective owes, as checks that each rank makes for itself.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <numeric>
#include <vector>

#include "tests/contract/contract_buffer.h"
#include "worker/collective/collective.h"

namespace ferment::testing {

/// Lengths that are empty, odd, and longer than one packet.
inline constexpr std::size_t kContractLengths[] = {0, 1, 3, 17, 1024, 100'003};

template <typename T>
void ExpectSumsOverRanks(worker::Collective& collective, const ContractMemory& memory) {
  for (const std::size_t length : kContractLengths) {
    std::vector<T> own(length);
    for (std::size_t i = 0; i < length; ++i)
      own[i] = static_cast<T>((i % 97) * static_cast<std::size_t>(collective.rank() + 1));
    ContractBuffer<T> buffer(memory, own);
    ASSERT_TRUE(collective.AllReduceSum(buffer.span()).ok());
    const std::vector<T> values = buffer.Values();
    const std::size_t ranks = static_cast<std::size_t>(collective.size());
    for (std::size_t i = 0; i < length; ++i)
      ASSERT_EQ(values[i], static_cast<T>((i % 97) * ranks * (ranks + 1) / 2)) << "i=" << i;
  }
}

/// As callers make an average, which the port leaves to them.
template <typename T>
void ExpectAveragesOverRanks(worker::Collective& collective, const ContractMemory& memory) {
  ContractBuffer<T> buffer(memory, {static_cast<T>(collective.rank()), T(0.5)});
  ASSERT_TRUE(collective.AllReduceSum(buffer.span()).ok());
  std::vector<T> values = buffer.Values();
  for (T& value : values) value /= static_cast<T>(collective.size());
  EXPECT_EQ(values, (std::vector<T>{static_cast<T>(collective.size() - 1) / 2, T(0.5)}));
}

inline void ExpectBroadcastsFromAnyRoot(worker::Collective& collective, const ContractMemory& memory) {
  for (int root = 0; root < collective.size(); ++root) {
    for (const std::size_t length : kContractLengths) {
      const auto mine = static_cast<std::byte>(collective.rank() == root ? 40 + root : 0);
      ContractBuffer<std::byte> bytes(memory, std::vector<std::byte>(length, mine));
      ASSERT_TRUE(collective.Broadcast(bytes.span(), root).ok());
      for (const std::byte b : bytes.Values()) ASSERT_EQ(b, static_cast<std::byte>(40 + root));
    }
  }
}

inline void ExpectGathersInRankOrder(worker::Collective& collective, const ContractMemory& memory) {
  for (const std::size_t length : kContractLengths) {
    ContractBuffer<std::byte> mine(memory, std::vector<std::byte>(length, static_cast<std::byte>(collective.rank())));
    ContractBuffer<std::byte> all(memory, std::vector<std::byte>(length * static_cast<std::size_t>(collective.size())));
    ASSERT_TRUE(collective.AllGather(mine.span(), all.span()).ok());
    const std::vector<std::byte> values = all.Values();
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], static_cast<std::byte>(i / length));
  }
}

inline void ExpectSumsAreTheSameBitsEverywhere(worker::Collective& collective, const ContractMemory& memory) {
  std::vector<float> own(1001);
  for (std::size_t i = 0; i < own.size(); ++i)
    own[i] = 1.0F / static_cast<float>(i + 3 * static_cast<std::size_t>(collective.rank()) + 1);
  ContractBuffer<float> buffer(memory, own);
  ASSERT_TRUE(collective.AllReduceSum(buffer.span()).ok());
  const std::vector<float> values = buffer.Values();
  const auto mine = std::as_bytes(std::span<const float>(values));
  std::vector<std::byte> all(mine.size() * static_cast<std::size_t>(collective.size()));
  ASSERT_TRUE(collective.AllGather(mine, all).ok());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], mine[i % mine.size()]);
}

/// Several under way, other verbs between them, and of lengths that go different ways.
inline void ExpectSumsThatAreUnderWay(worker::Collective& collective, const ContractMemory& memory) {
  const auto rank = static_cast<double>(collective.rank() + 1);
  const double ranks = collective.size();
  std::deque<ContractBuffer<float>> floats;
  std::deque<ContractBuffer<double>> doubles;
  for (const std::size_t length : kContractLengths) {
    floats.emplace_back(memory, std::vector<float>(length, static_cast<float>(rank)));
    ASSERT_TRUE(collective.BeginSum(floats.back().span()).ok());
    doubles.emplace_back(memory, std::vector<double>(length, 2 * rank));
    ASSERT_TRUE(collective.BeginSum(doubles.back().span()).ok());
    ASSERT_TRUE(collective.AdvanceSums());
    ContractBuffer<double> between(memory, {1.0});
    ASSERT_TRUE(collective.AllReduceSum(between.span()).ok());
    ASSERT_EQ(between.Values()[0], ranks);
  }
  ASSERT_TRUE(collective.AwaitSums().ok());
  EXPECT_EQ(collective.AdvanceSums().value(), 0u);
  for (const auto& buffer : floats) {
    for (const float value : buffer.Values()) ASSERT_EQ(value, static_cast<float>(ranks * (ranks + 1) / 2));
  }
  for (const auto& buffer : doubles) {
    for (const double value : buffer.Values()) ASSERT_EQ(value, ranks * (ranks + 1));
  }
}

inline void ExpectSplitsByColor(worker::Collective& collective, const ContractMemory& memory) {
  auto part = collective.Split(collective.rank() % 2);
  ASSERT_TRUE(part) << part.error().ToString();
  EXPECT_EQ((*part)->rank(), collective.rank() / 2);
  ContractBuffer<double> one(memory, {1.0});
  ASSERT_TRUE((*part)->AllReduceSum(one.span()).ok());
  EXPECT_EQ(one.Values()[0], static_cast<double>((*part)->size()));
  EXPECT_EQ((*part)->size(), (collective.size() + 1 - collective.rank() % 2) / 2);
  ASSERT_TRUE(collective.Barrier().ok());
}

/// Requires: `memory` is one that the backend takes; host memory is one that all take.
inline void ExpectTheContractIn(const ContractMemory& memory, worker::Collective& collective) {
  ASSERT_GE(collective.rank(), 0);
  ASSERT_LT(collective.rank(), collective.size());
  ExpectSumsOverRanks<float>(collective, memory);
  ExpectSumsOverRanks<double>(collective, memory);
  ExpectAveragesOverRanks<float>(collective, memory);
  ExpectAveragesOverRanks<double>(collective, memory);
  ExpectBroadcastsFromAnyRoot(collective, memory);
  ExpectGathersInRankOrder(collective, memory);
  ExpectSumsAreTheSameBitsEverywhere(collective, memory);
  ExpectSumsThatAreUnderWay(collective, memory);
  ExpectSplitsByColor(collective, memory);
  ASSERT_TRUE(collective.Barrier().ok());
}

inline void ExpectTheContract(worker::Collective& collective) { ExpectTheContractIn(ContractMemory(), collective); }

}  // namespace ferment::testing
