// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/channel_moments.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/nn/kernels/channel_blocks.h"

namespace ferment::nn {
namespace {

template <typename S, typename T = Computed<S>>
FERMENT_BODY void MomentsOfSlab(const ChannelSlab<S>& slab, T* mean, T* deviation) {
  FERMENT_VECTORS
  for (std::int64_t c = 0; c < slab.channels; ++c) mean[c] = deviation[c] = 0;
  for (std::int64_t r = 0; r < slab.rows; ++r) {
    FERMENT_VECTORS
    for (std::int64_t c = 0; c < slab.channels; ++c) mean[c] += Widen(slab.x[r * slab.stride + c]);
  }
  FERMENT_VECTORS
  for (std::int64_t c = 0; c < slab.channels; ++c) mean[c] /= static_cast<T>(slab.rows);
  for (std::int64_t r = 0; r < slab.rows; ++r) {
    FERMENT_VECTORS
    for (std::int64_t c = 0; c < slab.channels; ++c) {
      const T off = Widen(slab.x[r * slab.stride + c]) - mean[c];
      deviation[c] += off * off;
    }
  }
}

FERMENT_PROCESSORS void Moments(const ChannelSlab<float>& slab, float* mean, float* deviation) {
  MomentsOfSlab(slab, mean, deviation);
}
FERMENT_PROCESSORS void Moments(const ChannelSlab<double>& slab, double* mean, double* deviation) {
  MomentsOfSlab(slab, mean, deviation);
}
FERMENT_PROCESSORS void Moments(const ChannelSlab<c10::BFloat16>& slab, float* mean, float* deviation) {
  MomentsOfSlab(slab, mean, deviation);
}

template <typename S>
torch::Tensor MomentsOf(const torch::Tensor& x) {
  const Extent extent = ExtentOf(x);
  std::vector<std::int64_t> rows;
  for (std::int64_t block = 0; block < extent.blocks(); ++block) rows.push_back(extent.RowsIn(block));
  MomentsInParts moments(extent.channels, std::move(rows));
  ForEachBlock(extent, [&](std::int64_t block, std::int64_t offset, Extent part) {
    moments.Add<S>(block, 0, {x.const_data_ptr<S>() + offset, part.rows, part.channels, part.channels});
  });
  return moments.Joined();
}

}  // namespace

MomentsInParts::MomentsInParts(std::int64_t channels, std::vector<std::int64_t> rows)
    : channels_(channels), rows_(std::move(rows)), own_(rows_.size() * static_cast<std::size_t>(2 * channels)) {}

template <typename S>
void MomentsInParts::Add(std::int64_t part, std::int64_t first_channel, const ChannelSlab<S>& slab) {
  using T = Computed<S>;
  std::vector<T> own(static_cast<std::size_t>(2 * slab.channels));
  T* const deviation = own.data() + slab.channels;
  Moments(slab, own.data(), deviation);
  std::copy_n(own.data(), slab.channels, At(part) + first_channel);
  std::copy_n(deviation, slab.channels, At(part) + channels_ + first_channel);
}

template void MomentsInParts::Add(std::int64_t, std::int64_t, const ChannelSlab<float>&);
template void MomentsInParts::Add(std::int64_t, std::int64_t, const ChannelSlab<double>&);
template void MomentsInParts::Add(std::int64_t, std::int64_t, const ChannelSlab<c10::BFloat16>&);

torch::Tensor MomentsInParts::Joined() const {
  auto joined = torch::zeros({2, channels_}, torch::kFloat64);
  const auto all = static_cast<double>(std::accumulate(rows_.begin(), rows_.end(), std::int64_t{0}));
  double* mean = joined.data_ptr<double>();
  double* deviation = mean + channels_;
  const auto for_each = [&](const auto& use) {
    for (std::size_t part = 0; part < rows_.size(); ++part) {
      const double* own = At(static_cast<std::int64_t>(part));
      const double share = static_cast<double>(rows_[part]) / all;
      for (std::int64_t c = 0; c < channels_; ++c) use(c, share, own[c], own[channels_ + c]);
    }
  };
  for_each([&](std::int64_t c, double share, double own_mean, double) { mean[c] += share * own_mean; });
  for_each([&](std::int64_t c, double share, double own_mean, double own_deviation) {
    const double off = own_mean - mean[c];
    deviation[c] += own_deviation / all + share * off * off;
  });
  return joined;
}

torch::Tensor ChannelMoments(const torch::Tensor& x) {
  return ByType(x, [&](auto type) { return MomentsOf<decltype(type)>(x); });
}

}  // namespace ferment::nn
