// SPDX-License-Identifier: Apache-2.0
//
// A random permutation of 0 .. count-1 that needs no memory and no order of asking.
#pragma once

#include <cstdint>

namespace ferment::dataset {

/// Returns: where `index` goes under the permutation of (seed, stream): a Feistel network over the next even power of
/// two, walked until it lands below count. Thread: any. Requires: index < count.
std::uint64_t ShuffledIndex(std::uint64_t count, std::uint64_t seed, std::uint64_t stream, std::uint64_t index);

}  // namespace ferment::dataset
