// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <torch/types.h>

#include "common/nn/cuda_device.h"
#include "common/nn/temporal/temporal_inference.h"
#include "worker/collective/thread_collective.h"
#include "worker/cuda_half.h"
#include "worker/feed/face_views.h"
#include "worker/train/exchange/rank_statistics.h"
#include "worker/train/losses.h"
#include "worker/train/trained_network.h"

namespace ferment::worker {
namespace {

const torch::Device kGpu(torch::kCUDA, 0);

/// One rank on the first GPU against the same work on the CPU.
class TrainOnAGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto half = OpenCudaHalf();
    if (!half) GTEST_SKIP() << half.error().ToString();
    const Status status = nn::UseCudaDevice(0);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
};

/// Returns: weights and statistics after three steps on eight faces in float64, on the CPU.
std::pair<torch::Tensor, torch::Tensor> Trained(torch::Device device, nn::BatchNormMode mode) {
  const auto alone = MakeSingleCollective();
  RankStatistics exchange(*alone);
  auto net = nn::MakeBackbone({.name = "resnet18", .width = 8, .image_size = 32, .classes = 4}, 3, 0);
  net->MoveTo(device, torch::kFloat64);
  net->SetBatchNorm(mode, &exchange);
  TrainedNetwork network(net, {.weight_decay = 5e-4});
  network.net->train();
  torch::manual_seed(1);
  const torch::Tensor faces = torch::randn({8, 3, 32, 32}, torch::kFloat64).to(device);
  const torch::Tensor labels = (torch::arange(8) % 4).to(device);
  for (int step = 0; step < 3; ++step) {
    network.bucket.ZeroGradients();
    (CrossEntropySum(network.net->forward(faces), labels, 0.1) / 8).backward();
    EXPECT_TRUE(SumOverRanks(network.bucket.gradients(), *alone).ok());
    EXPECT_TRUE(network.statistics.AverageOverRanks(*alone).ok());
    network.sgd.Step(0.01, network.sgd.GradientNorm());
  }
  return {network.bucket.weights().to(torch::kCPU), network.statistics.statistics().to(torch::kCPU)};
}

TEST_F(TrainOnAGpu, LearnsWhatTheCpuLearns) {
  for (const auto mode : {nn::BatchNormMode::kLocal, nn::BatchNormMode::kSync, nn::BatchNormMode::kFrozen}) {
    const auto [expected, expected_statistics] = Trained(torch::kCPU, mode);
    const auto [weights, statistics] = Trained(kGpu, mode);
    EXPECT_TRUE(torch::allclose(weights, expected, 1e-7, 1e-9)) << (weights - expected).abs().max();
    EXPECT_TRUE(torch::allclose(statistics, expected_statistics, 1e-7, 1e-9));
  }
}

TEST_F(TrainOnAGpu, SeesTheViewsThatTheCpuSees) {
  FaceBatch faces;
  faces.pixels = (torch::arange(64 * 3 * 32 * 32) * 2654435761 % 251).view({64, 3, 32, 32}).to(torch::kUInt8);
  for (std::uint64_t i = 0; i < 64; ++i) faces.draws.push_back(i);
  const ViewTarget on_gpu{.device = kGpu};
  const torch::Tensor weak = WeakFaces(faces, 1, on_gpu);
  EXPECT_EQ(weak.device(), kGpu);
  EXPECT_LT((weak.to(torch::kCPU) - WeakFaces(faces, 1, {})).abs().max().item<double>(), 1e-3);
  // Operations round to whole levels, so that a last bit can become one level, or another histogram; rarely.
  const torch::Tensor strong = StrongFaces(faces, 1, on_gpu).to(torch::kCPU);
  EXPECT_LT((strong - StrongFaces(faces, 1, {})).abs().mean().item<double>(), 1e-2);
}

TEST_F(TrainOnAGpu, PredictsFramesAsTheCpuDoes) {
  for (const char* kind : {"transformer", "gru", "tcn", "none"}) {
    const auto encoder = nn::MakeTemporalEncoder({.encoder = kind,
                                                  .input_size = 12,
                                                  .d_model = 16,
                                                  .layers = 2,
                                                  .heads = 2,
                                                  .feed_forward = 32,
                                                  .dropout = 0.1,
                                                  .classes = 4},
                                                 1, 2);
    const nn::FrameFeatures video{torch::randn({50, 12}), std::vector<bool>(50, true)};
    const auto expected = nn::FramePredictor(*encoder, 4, 16, 8).Predict(video);
    encoder->to(kGpu);
    const auto found = nn::FramePredictor(*encoder, 4, 16, 8).Predict(video);
    for (std::size_t i = 0; i < expected.frames(); ++i)
      for (std::size_t c = 0; c < 4; ++c) EXPECT_NEAR(found.Row(i)[c], expected.Row(i)[c], 1e-4) << kind << " " << i;
  }
}

}  // namespace
}  // namespace ferment::worker
