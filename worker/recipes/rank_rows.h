// SPDX-License-Identifier: Apache-2.0
//
// The global batch from the rows that each rank holds.
#pragma once

#include <torch/types.h>

#include "common/base/result.h"
#include "worker/collective/collective.h"

namespace ferment::worker {

/// Returns: all ranks' rows, in rank order, on every rank, bit for bit; C order, on the CPU. Ranks may differ in the
/// number of rows, which may be 0, and in nothing else. Errors: those of the collective.
Result<torch::Tensor> GatherRows(const torch::Tensor& rows, Collective& ranks);

}  // namespace ferment::worker
