// SPDX-License-Identifier: Apache-2.0
//
// What a Collective of two ranks keeps with more bytes than an int counts. Takes up to 10 GB of memory and a minute.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <vector>

#include "worker/collective/collective.h"

namespace ferment::testing {

inline bool TakesLong() { return std::getenv("FERMENT_LONG_TESTS") != nullptr; }

/// Returns: bytes that differ from rank to rank and from place to place; no piece's length is a multiple of their
/// period.
inline std::vector<std::byte> BytesOf(int rank, std::size_t length) {
  std::vector<std::byte> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i % 251 + static_cast<std::size_t>(rank));
  return bytes;
}

inline void ExpectGathersLong(worker::Collective& collective, std::size_t length) {
  std::vector<std::byte> all(length * static_cast<std::size_t>(collective.size()));
  ASSERT_TRUE(collective.AllGather(BytesOf(collective.rank(), length), all).ok());
  for (int r = 0; r < collective.size(); ++r) {
    const auto part = std::span(all).subspan(static_cast<std::size_t>(r) * length, length);
    EXPECT_TRUE(std::ranges::equal(part, BytesOf(r, length))) << "of rank " << r;
  }
}

/// 2.3 GB a rank.
inline void ExpectSumsPastTwoToThe31Bytes(worker::Collective& collective) {
  std::vector<float> values((std::size_t{1} << 29) + (std::size_t{1} << 25) + 3);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i % 1021) + static_cast<float>(collective.rank());
  ASSERT_TRUE(collective.AllReduceSum(std::span<float>(values)).ok());
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], 2 * static_cast<float>(i % 1021) + 1) << i;
}

/// Broadcast: as many as above; gathered: as many once they are together.
inline void ExpectBroadcastsAndGathersPastTwoToThe31Bytes(worker::Collective& collective) {
  constexpr std::size_t kLength = (std::size_t{1} << 31) + (std::size_t{1} << 27) + 3;
  for (const int root : {0, 1}) {
    std::vector<std::byte> bytes(kLength);
    if (collective.rank() == root) bytes = BytesOf(root, kLength);
    ASSERT_TRUE(collective.Broadcast(bytes, root).ok());
    EXPECT_TRUE(bytes == BytesOf(root, kLength)) << "from rank " << root;
  }
  ExpectGathersLong(collective, kLength / 2);
}

}  // namespace ferment::testing
