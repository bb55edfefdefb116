// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/quantized_tiles.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace ferment::nn {
namespace {

TEST(MaxPoolBytes, IsTheMaxPoolOfLibTorch) {
  torch::manual_seed(7);
  for (const std::int64_t channels : {1, 16, 37}) {
    for (const auto& [h, w] : {std::pair{1, 1}, {2, 5}, {9, 8}}) {
      const auto x = torch::randint(0, kHighestByte + 1, {3, h, w, channels}, torch::kUInt8);
      const auto expected = torch::max_pool2d(x.permute({0, 3, 1, 2}).to(torch::kFloat32), 3, 2, 1)
                                .permute({0, 2, 3, 1})
                                .to(torch::kUInt8);
      auto y = torch::full_like(expected.contiguous(), 255);
      MaxPoolBytes(x.const_data_ptr<std::uint8_t>(), 3, h, w, channels, y.data_ptr<std::uint8_t>());
      EXPECT_TRUE(torch::equal(y, expected)) << "h " << h << " w " << w << " channels " << channels;
    }
  }
}

}  // namespace
}  // namespace ferment::nn
