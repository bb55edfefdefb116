// SPDX-License-Identifier: Apache-2.0
//
// The rows that each rank holds, and the global batch from them.
#pragma once

#include <torch/types.h>

#include "common/base/result.h"
#include "worker/collective/collective.h"
#include "worker/feed/batch_feed.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Returns: this rank's rows of `step`, once every rank has its own. Errors: one rank's failure is every rank's.
Result<FeedStep> GetOnAllRanks(BatchFeed& feed, std::uint64_t step, const RecipeContext& context);

/// Returns: how many damaged faces the ranks have met, each counted once however many ranks met it. Every rank calls.
/// Errors: those of the collective.
Result<double> CountDamagedFaces(const BatchFeed& feed, Collective& ranks);

/// Returns: all ranks' rows, in rank order, on every rank, bit for bit; C order, on the CPU. Ranks may differ in the
/// number of rows, which may be 0, and in nothing else. Errors: those of the collective.
Result<torch::Tensor> GatherRows(const torch::Tensor& rows, Collective& ranks);

}  // namespace ferment::worker
