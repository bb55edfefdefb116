// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/weight_panels.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace ferment::nn {
namespace {

/// [blocks of 16 outputs][tap][input channel][16], by LibTorch's operations.
torch::Tensor Expected(const torch::Tensor& weight) {
  const std::int64_t out = weight.size(0), blocks = (out + 15) / 16;
  torch::Tensor rows = torch::zeros({blocks * 16, weight.numel() / out});
  rows.slice(0, 0, out).copy_(weight.permute({0, 2, 3, 1}).reshape({out, -1}));
  return rows.view({blocks, 16, -1}).transpose(1, 2).contiguous();
}

TEST(WeightPanels, HoldTheWeightsInTheOrderOfTheTiles) {
  torch::manual_seed(1);
  // Outputs that are no whole blocks, depths that no eight divide, and enough weights for several threads.
  for (const auto& [out, in, kernel] : {std::tuple{16, 16, 1}, {40, 3, 7}, {16, 5, 3}, {5, 16, 1}, {256, 64, 3}}) {
    const torch::Tensor weight = torch::randn({out, in, kernel, kernel});
    EXPECT_TRUE(torch::equal(PanelsOfOutputs(weight), Expected(weight))) << out << " " << in << " " << kernel;
    const torch::Tensor lasting = weight.contiguous(torch::MemoryFormat::ChannelsLast);
    EXPECT_TRUE(torch::equal(PanelsOfOutputs(lasting), Expected(weight))) << out << " " << in << " " << kernel;
    if (in % 16 != 0) continue;
    const torch::Tensor back = Expected(weight.flip({2, 3}).transpose(0, 1));
    EXPECT_TRUE(torch::equal(PanelsOfInputs(lasting), back)) << out << " " << in << " " << kernel;
  }
}

}  // namespace
}  // namespace ferment::nn
