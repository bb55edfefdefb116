// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/float_tiles.h"

#include <algorithm>

#include "common/base/check.h"

namespace ferment::nn {
namespace {

/// Floats of input that are gone through for one block of output channels after another: half of a second-level cache.
constexpr std::int64_t kBlockFloats = 64 * 1024;
/// Output channels that are made together with AVX-512.
constexpr std::int64_t kWidestTile = 4 * kFloatTileOutputs;
/// Parts that a call should have, so that some threads find work until its end.
constexpr std::int64_t kEnoughParts = 48;

}  // namespace

FloatParts::FloatParts(const FloatProblem& problem, Vectors vectors)
    : problem_(problem), vectors_(vectors), row_blocks_(problem.at, problem.x, 0.0F, kBlockFloats) {
  FERMENT_CHECK(HasVectors(vectors));
  const std::int64_t tiles = (problem.at.out + kWidestTile - 1) / kWidestTile;
  const std::int64_t wanted = (kEnoughParts + row_blocks_.count() - 1) / std::max<std::int64_t>(1, row_blocks_.count());
  const std::int64_t tiles_together = (tiles + wanted - 1) / wanted;
  group_channels_ = tiles_together * kWidestTile;
  channel_groups_ = (tiles + tiles_together - 1) / tiles_together;
}

std::vector<std::int64_t> FloatParts::Rows() const {
  std::vector<std::int64_t> rows;
  for (std::int64_t block = 0; block < row_blocks_.count(); ++block) rows.push_back(row_blocks_.RowsIn(block));
  return rows;
}

FloatParts::Part FloatParts::Make(std::int64_t part) const {
  const RowBlock<float> block = row_blocks_.At(part % row_blocks_.count());
  const std::int64_t first = part / row_blocks_.count() * group_channels_;
  const Part made{part % row_blocks_.count(),
                  block.first,
                  block.count,
                  {first, std::min(problem_.at.out, first + group_channels_)}};
#if defined(__x86_64__)
  const auto convolve = vectors_ == Vectors::kAvx2 ? ConvolveBlockAvx2 : ConvolveBlockAvx512;
  convolve(problem_, block, made.channels);
#endif
  return made;
}

}  // namespace ferment::nn
