// SPDX-License-Identifier: Apache-2.0
#include "common/nn/augment.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <vector>

namespace ferment::nn {
namespace {

torch::Tensor Faces(std::int64_t count) {
  return torch::randint(0, 256, {count, 3, 24, 24}, at::make_generator<at::CPUGeneratorImpl>(5),
                        torch::TensorOptions(torch::kFloat32));
}

TEST(Augment, AViewDependsOnSeedKeyAndEpochAndNotOnTheBatch) {
  const auto faces = Faces(64);
  std::vector<std::uint64_t> keys(64);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = 1000 + i;
  for (const auto view : {WeakView, StrongView}) {
    const auto together = view(faces, keys, 1, 2);
    EXPECT_TRUE(torch::equal(together, view(faces, keys, 1, 2)));
    const auto alone = view(faces.slice(0, 40, 47), std::span(keys).subspan(40, 7), 1, 2);
    EXPECT_LE((together.slice(0, 40, 47) - alone).abs().max().item<float>(), 1e-3F);
    EXPECT_FALSE(torch::equal(together, view(faces, keys, 2, 2)));
    EXPECT_FALSE(torch::equal(together, view(faces, keys, 1, 3)));
  }
}

TEST(Augment, ViewsStayWithinPixelValues) {
  const auto faces = Faces(256);
  std::vector<std::uint64_t> keys(256);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  for (const auto view : {WeakView, StrongView}) {
    const auto seen = view(faces.to(torch::kUInt8), keys, 9, 0);
    EXPECT_EQ(seen.scalar_type(), torch::kFloat32);
    EXPECT_GE(seen.min().item<float>(), -1e-3F);
    EXPECT_LE(seen.max().item<float>(), 255.001F);
  }
}

}  // namespace
}  // namespace ferment::nn
