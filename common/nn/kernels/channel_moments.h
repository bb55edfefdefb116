// SPDX-License-Identifier: Apache-2.0
//
// The mean and the deviation of each channel, of rows that are there or that are made in parts.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace ferment::nn {

/// Some channels of some rows, as they lie.
template <typename S>
struct ChannelSlab {
  const S* x;
  std::int64_t rows;
  std::int64_t channels;
  std::int64_t stride;  // from one row to the next
};

/// Moments of parts, joined in float64 in the order of the parts, whatever the order in which they were added.
///
/// Thread: parts, and channels of a part, are added on any threads.
class MomentsInParts {
 public:
  /// `rows`: of each part.
  MomentsInParts(std::int64_t channels, std::vector<std::int64_t> rows);

  /// Reads the slab, which should be in a cache, twice. Each channel of each part is added once. S: float, double or
  /// c10::BFloat16 (which is summed up in float32).
  template <typename S>
  void Add(std::int64_t part, std::int64_t first_channel, const ChannelSlab<S>& slab);
  /// Returns: [2, C] float64, the mean and the mean squared deviation from it of each channel; zeros for no rows.
  torch::Tensor Joined() const;

 private:
  double* At(std::int64_t part) { return own_.data() + part * 2 * channels_; }
  const double* At(std::int64_t part) const { return own_.data() + part * 2 * channels_; }

  std::int64_t channels_;
  std::vector<std::int64_t> rows_;
  std::vector<double> own_;  // [part][mean, sum of squared deviations][channel]
};

/// Returns: the same of all rows of `x`, which HasChannelLoops takes, in one pass over memory.
torch::Tensor ChannelMoments(const torch::Tensor& x);

}  // namespace ferment::nn
