// SPDX-License-Identifier: Apache-2.0
#include "common/nn/float_tiles.h"

#include <vector>

#include "common/base/check.h"

namespace ferment::nn {
namespace {

/// Floats of input that are gone through for one block of output channels after another: half of a second-level cache.
constexpr std::int64_t kBlockFloats = 64 * 1024;

}  // namespace

void ConvolveFloats(const FloatProblem& p, Vectors vectors) {
  FERMENT_CHECK(HasVectors(vectors));
#if defined(__x86_64__)
  const TapTable table = TapsOf(p.at);
  const std::vector<float> zeros(static_cast<std::size_t>(table.run));
  const auto convolve = vectors == Vectors::kAvx2 ? ConvolveBlockAvx2 : ConvolveBlockAvx512;
  ForEachRowBlock(p.at, p.x, zeros.data(), table, kBlockFloats,
                  [&](const RowBlock<float>& block) { convolve(p, block); });
#else
  static_cast<void>(p);
#endif
}

}  // namespace ferment::nn
