// SPDX-License-Identifier: Apache-2.0
#include "worker/feed/rank_sampler.h"

namespace ferment::worker {

RowRange RowsOfRank(std::uint64_t rows, int rank, int ranks) {
  const auto r = static_cast<std::uint64_t>(rank);
  const auto n = static_cast<std::uint64_t>(ranks);
  return {rows * r / n, rows * (r + 1) / n};
}

}  // namespace ferment::worker
