// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>

#include "worker/train/checkpoint_folder.h"

namespace ferment::worker {
namespace {

TEST(GoldenCheckpoint, OfAFormerVersionIsReadAsItWasMeant) {
  const auto state =
      CheckpointFolder(std::filesystem::path(FERMENT_FIXTURES) / "golden/2026-11-25/checkpoints").Newest();
  ASSERT_TRUE(state) << state.error().ToString();
  ASSERT_TRUE(state->has_value());
  const RecipeState& read = **state;
  EXPECT_EQ(read.scalars, (Json{{"samples", 4096}, {"loss", 0.25}}));
  ASSERT_EQ(read.tensors.size(), 2U);
  const NamedTensors& student = read.tensors.at("student");
  ASSERT_EQ(student.size(), 2U);
  for (const auto& [name, tensor] : student) {
    const torch::Tensor expected = name == "conv1.weight" ? torch::arange(12, torch::kFloat32).reshape({3, 4}) / 8
                                                          : torch::tensor(7, torch::kInt64);
    EXPECT_EQ(tensor.dtype(), expected.dtype()) << name;
    EXPECT_TRUE(torch::equal(tensor, expected)) << name;
  }
  const NamedTensors& optimizer = read.tensors.at("optimizer");
  ASSERT_EQ(optimizer.size(), 1U);
  EXPECT_EQ(optimizer[0].first, "student.conv1.weight");
  EXPECT_TRUE(torch::equal(optimizer[0].second, torch::full({3, 4}, 0.5)));
}

}  // namespace
}  // namespace ferment::worker
