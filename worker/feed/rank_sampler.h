// SPDX-License-Identifier: Apache-2.0
//
// Which rows of a global batch are whose: contiguous, covering, and as even as can be.
#pragma once

#include <cstdint>

namespace ferment::worker {

/// Half-open.
struct RowRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const { return end - begin; }
  bool operator==(const RowRange&) const = default;
};

/// Returns: the rows of `rank` of `ranks` in a batch of `rows`. Requires: 0 <= rank < ranks.
RowRange RowsOfRank(std::uint64_t rows, int rank, int ranks);

}  // namespace ferment::worker
