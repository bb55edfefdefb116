// SPDX-License-Identifier: Apache-2.0
//
// What a labeler's networks run on.
#pragma once

#include <optional>

namespace ferment::labeler {

struct InferenceDevice {
  /// CUDA's index; none: the CPU.
  std::optional<int> cuda = std::nullopt;
  /// Batches that are decoded beside each other.
  int threads = 1;
};

}  // namespace ferment::labeler
