// SPDX-License-Identifier: Apache-2.0
//
// Looks at a network's float32 activations and says what their bytes shall stand for.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "common/nn/convolution/quantized_convolution.h"

namespace ferment::nn {

/// Values of one activation, counted in equal intervals. Look at all of them twice: first for the ends, then to count.
///
/// Thread: one at a time.
class ActivationRange {
 public:
  /// Throws c10::Error where a value is not finite.
  void LookForEnds(const torch::Tensor& values);
  /// Requires: all values have been looked at for the ends.
  void Count(const torch::Tensor& values);
  /// Returns: the scale, of a hundred between the whole range and a part of it, with the least mean squared error of a
  /// byte, cut-off values included.
  Quantization Best() const;

 private:
  double ErrorOf(const Quantization& as) const;
  double ValueOf(std::size_t interval) const;

  float lowest_ = 0;
  float highest_ = 0;
  std::vector<std::uint64_t> counts_;
};

}  // namespace ferment::nn
