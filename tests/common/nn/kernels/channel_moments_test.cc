// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/channel_moments.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace ferment::nn {
namespace {

TEST(ChannelMoments, AreThoseOfAllRowsFarFromZero) {
  torch::manual_seed(1);
  // More rows than a block holds, and a mean a thousand deviations away, where sums of squares would lose all digits.
  for (const std::int64_t channels : {1, 7, 64, 40000}) {
    const torch::Tensor x =
        (torch::randn({9, channels, 5, 3}, torch::kFloat64) * 0.01 + 10).contiguous(torch::MemoryFormat::ChannelsLast);
    const torch::Tensor moments = ChannelMoments(x.to(torch::kFloat32));
    const auto [variance, mean] = torch::var_mean(x.to(torch::kFloat32).to(torch::kFloat64), {0, 2, 3}, c10::Scalar(0));
    EXPECT_LT(((moments[0] - mean).abs() / mean.abs()).max().item<double>(), 1e-6) << channels;
    EXPECT_LT(((moments[1] - variance).abs() / variance).max().item<double>(), 1e-3) << channels;
  }
  EXPECT_TRUE(torch::equal(ChannelMoments(torch::zeros({0, 4})), torch::zeros({2, 4}, torch::kFloat64)));
}

TEST(ChannelMoments, OfPartsDoNotDependOnTheirOrder) {
  torch::manual_seed(2);
  const torch::Tensor x = torch::randn({30, 24}) + 3;
  const std::vector<std::int64_t> rows = {7, 20, 3}, first_rows = {0, 7, 27};
  const auto joined = [&](const std::vector<std::int64_t>& order) {
    MomentsInParts moments(24, rows);
    for (const std::int64_t part : order) {
      for (const std::int64_t channel : {16, 0}) {
        const std::int64_t row = first_rows[static_cast<std::size_t>(part)];
        moments.Add<float>(part, channel,
                           {x.const_data_ptr<float>() + row * 24 + channel, rows[static_cast<std::size_t>(part)],
                            channel == 0 ? 16 : 8, 24});
      }
    }
    return moments.Joined();
  };
  const torch::Tensor forward = joined({0, 1, 2});
  EXPECT_TRUE(torch::equal(forward, joined({2, 0, 1})));
  const auto [variance, mean] = torch::var_mean(x.to(torch::kFloat64), {0}, c10::Scalar(0));
  EXPECT_TRUE(torch::allclose(forward[0], mean, 1e-6, 1e-6));
  EXPECT_TRUE(torch::allclose(forward[1], variance, 1e-5, 1e-6));
}

}  // namespace
}  // namespace ferment::nn
