// SPDX-License-Identifier: Apache-2.0
//
// The forward pass of LibTorch's transformer encoder on a CPU, in fewer passes over memory.
#pragma once

#include <torch/types.h>

#include "common/nn/temporal/dropout.h"

namespace torch::nn {
class TransformerEncoderImpl;
}

namespace ferment::nn {

/// Returns: what `encoder` makes of `x` [B, T, d_model]; `masked` [B, T] bool: frames that nothing looks at. Requires:
/// post-norm layers with ReLU, without a last norm; no window all of whose frames are masked (NaN). Differs from
/// encoder.forward in the masks of dropout, and in memory: windows come first, so nothing is transposed but the heads,
/// each layer's three projections are one product, and dropout joins the rectifier or the sum beside it.
torch::Tensor EncodeSequence(const torch::nn::TransformerEncoderImpl& encoder, const torch::Tensor& x,
                             const torch::Tensor& masked, Dropout& dropout);

}  // namespace ferment::nn
