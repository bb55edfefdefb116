// SPDX-License-Identifier: Apache-2.0
#include "worker/train/trained_network.h"

#include <gtest/gtest.h>

namespace ferment::worker {
namespace {

std::shared_ptr<nn::Backbone> NarrowNetwork(torch::Dtype dtype) {
  // 5 channels: nothing comes out even by itself.
  auto network = nn::MakeBackbone({.name = "resnet18", .width = 5, .image_size = 32, .classes = 3}, 1, 0);
  network->MoveTo(torch::kCPU, dtype);
  return network;
}

TEST(TrainedNetwork, CountsInIntegersWhateverItIsTrainedIn) {
  const TrainedNetwork network(NarrowNetwork(torch::kFloat64), {});
  int counters = 0;
  for (const auto& item : network.net->named_buffers()) {
    const bool counts = item.key().ends_with("num_batches_tracked");
    EXPECT_EQ(item.value().scalar_type(), counts ? torch::kInt64 : torch::kFloat64) << item.key();
    counters += counts ? 1 : 0;
  }
  EXPECT_EQ(counters, 20);
}

TEST(TrainedNetwork, BeginsEveryTensorWhereAGpuMayReadManyBytesAtATime) {
  const TrainedNetwork network(NarrowNetwork(torch::kFloat32), {});
  const auto aligned = [](const torch::Tensor& tensor) {
    return reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 64 == 0;  // NOLINT
  };
  for (const auto& item : network.net->named_parameters()) {
    EXPECT_TRUE(aligned(item.value())) << item.key();
    EXPECT_TRUE(aligned(item.value().grad())) << item.key();
  }
  for (const auto& item : network.net->named_buffers()) {
    const bool counts = !item.value().is_floating_point();
    EXPECT_TRUE(counts || aligned(item.value())) << item.key();
  }
}

}  // namespace
}  // namespace ferment::worker
