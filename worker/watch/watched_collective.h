// SPDX-License-Identifier: Apache-2.0
//
// A collective that tells a board of every verb that begins and ends.
#pragma once

#include "worker/collective/collective.h"
#include "worker/watch/rank_board.h"

namespace ferment::worker {

/// Returns: `inner`, with every verb counted on `board`, which outlives it; what Split gives is watched too. An empty
/// buffer counts: its verb may be a barrier. Abort is passed on uncounted.
std::unique_ptr<Collective> MakeWatchedCollective(std::unique_ptr<Collective> inner, RankBoard& board);

}  // namespace ferment::worker
