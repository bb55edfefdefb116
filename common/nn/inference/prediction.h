// SPDX-License-Identifier: Apache-2.0
//
// What a network says of a batch of faces.
#pragma once

#include <torch/types.h>

namespace ferment::nn {

struct Prediction {
  torch::Tensor features;  // [N, D] float32
  torch::Tensor logits;    // [N, C] float32
};

}  // namespace ferment::nn
