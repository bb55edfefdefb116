// SPDX-License-Identifier: Apache-2.0
//
// What a step asks of a long vector before it trusts it: its norm, and whether every number in it is finite.
#pragma once

#include <torch/types.h>

namespace ferment::worker {

/// Equal tensors give equal answers on any number of threads, so ranks that hold the same agree without asking. One
/// pass, no copy, on the CPU. `flat`: contiguous float32 or float64 there, any type elsewhere.

/// Returns: the L2 norm, summed in float64.
double Norm(const torch::Tensor& flat);
/// Returns: whether no element is infinite or NaN.
bool AllFinite(const torch::Tensor& flat);

}  // namespace ferment::worker
