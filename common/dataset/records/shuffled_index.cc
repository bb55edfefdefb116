// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/shuffled_index.h"

#include <bit>

#include "common/base/check.h"
#include "common/base/random.h"

namespace ferment::dataset {
namespace {

constexpr std::uint64_t kRounds = 4;

}  // namespace

std::uint64_t ShuffledIndex(std::uint64_t count, std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  FERMENT_CHECK(index < count);
  const int half_bits = static_cast<int>((std::bit_width(count - 1) + 1) / 2);
  if (half_bits == 0) return 0;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  std::uint64_t value = index;
  do {
    std::uint64_t left = value >> half_bits;
    std::uint64_t right = value & mask;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const std::uint64_t mixed = left ^ (RandomBits(seed, stream, (round << half_bits) | right) & mask);
      left = right;
      right = mixed;
    }
    value = (left << half_bits) | right;
  } while (value >= count);
  return value;
}

}  // namespace ferment::dataset
