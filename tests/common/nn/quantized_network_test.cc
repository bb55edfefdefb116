// SPDX-License-Identifier: Apache-2.0
#include "common/nn/quantized_network.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <limits>
#include <string>

#include "common/nn/activation_ranges.h"
#include "common/nn/inference_plan.h"
#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

/// Smooth pictures, [n, 3, side, side] in -1..1.
torch::Tensor Faces(std::int64_t n, std::int64_t side) {
  torch::manual_seed(11);
  const auto coarse = torch::rand({n, 3, 7, 7}) * 2 - 1;
  return torch::upsample_bilinear2d(coarse, {side, side}, /*align_corners=*/true);
}

/// A network whose BatchNorms have statistics of its own activations, as a trained one's have.
std::shared_ptr<Backbone> Network(const BackboneConfig& config) {
  auto network = MakeBackbone(config, /*seed=*/4, /*stream=*/0);
  torch::NoGradGuard no_grad;
  network->train();
  for (int pass = 0; pass < 30; ++pass) network->forward(Faces(4, config.image_size));
  network->eval();
  return network;
}

double RelativeError(const torch::Tensor& a, const torch::Tensor& exact) {
  return ((a - exact).square().mean().sqrt() / exact.square().mean().sqrt()).item<double>();
}

class QuantizedNetworkTest : public ::testing::TestWithParam<BackboneConfig> {
 protected:
  void SetUp() override {
    if (!QuantizedConvolution::SuitsThisProcessor()) GTEST_SKIP() << "int8 needs AVX2 and FMA";
  }
};

TEST_P(QuantizedNetworkTest, SeesNearlyWhatTheNetworkSees) {
  torch::NoGradGuard no_grad;
  const auto network = Network(GetParam());
  const auto faces = Faces(12, GetParam().image_size);
  const NetworkSteps steps = StepsOf(GetParam(), StateOf(*network));
  const QuantizedNetwork quantized(steps, faces.slice(0, 0, 4), ConvolutionEngine::kOneDnn);
  const Prediction got = quantized.Run(faces);
  const auto features = network->Features(faces);
  const auto error = RelativeError(got.features, features);
  RecordProperty("relative_error", std::to_string(error));
  EXPECT_LE(error, 0.2);
  EXPECT_LE(RelativeError(got.logits, network->Classify(features)), 0.2);
}

TEST_P(QuantizedNetworkTest, IsTheSameWhateverTheThreadsAndTheCompany) {
  torch::NoGradGuard no_grad;
  const auto network = Network(GetParam());
  const auto faces = Faces(4, GetParam().image_size);
  const NetworkSteps steps = StepsOf(GetParam(), StateOf(*network));
  torch::Tensor expected;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const QuantizedNetwork quantized(steps, faces.slice(0, 0, 2), EngineOfThisProcessor());
    const auto all = quantized.Run(faces);
    if (!expected.defined()) expected = all.logits;
    EXPECT_TRUE(torch::equal(all.logits, expected)) << threads << " threads";
    const auto moved = quantized.Run(faces.roll(1, 0));
    EXPECT_TRUE(torch::equal(moved.features[1], all.features[0]));
  }
}

INSTANTIATE_TEST_SUITE_P(Backbones, QuantizedNetworkTest,
                         ::testing::Values(BackboneConfig{"resnet18", 16, 56, 8}, BackboneConfig{"resnet18", 9, 33, 3},
                                           BackboneConfig{"resnet50", 16, 48, 8},
                                           BackboneConfig{"iresnet50", 16, 32, 8}),
                         [](const auto& backbone) {
                           return backbone.param.name + "_" + std::to_string(backbone.param.width);
                         });

TEST(ActivationRange, CutsOffAFewLargeValuesAndKeepsZeroExact) {
  torch::manual_seed(1);
  ActivationRange range;
  const auto values = torch::cat({torch::rand({100'000}), torch::tensor({2.5F})});
  range.LookForEnds(values);
  range.Count(values);
  const Quantization best = range.Best();
  EXPECT_EQ(best.zero, 0);
  EXPECT_GT(best.scale * kHighestByte, 0.95);
  EXPECT_LT(best.scale * kHighestByte, 2);

  ActivationRange both;
  both.LookForEnds(values * 2 - 1);
  both.Count(values * 2 - 1);
  EXPECT_GT(both.Best().zero, 0);
}

TEST(ActivationRange, RefusesWhatIsNotFinite) {
  ActivationRange range;
  const auto values = torch::tensor({1.0F, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_FALSE(Guard([&] { range.LookForEnds(values); }).ok());
}

TEST(ActivationRange, OfNothingButZerosIsOfUse) {
  ActivationRange range;
  range.LookForEnds(torch::zeros({8}));
  range.Count(torch::zeros({8}));
  EXPECT_GT(range.Best().scale, 0);
}

TEST(InferencePlan, Int8RefusesWeightsThatAreNotFinite) {
  const BackboneConfig config{"resnet18", 8, 32, 3};
  const auto network = MakeBackbone(config, 1, 0);
  auto state = StateOf(*network);
  {
    torch::NoGradGuard no_grad;
    state.front().second.flatten()[0] = std::numeric_limits<float>::infinity();
  }
  const std::string file = ::testing::TempDir() + "/infinite.safetensors";
  ASSERT_TRUE(SaveTensors(file, state).ok());
  const auto plan = InferencePlan::LoadQuantized(file, config, 4, Faces(2, 32));
  ASSERT_FALSE(plan);
  if (!QuantizedConvolution::SuitsThisProcessor()) GTEST_SKIP() << "int8 needs AVX2 and FMA";
  EXPECT_EQ(ProcessExitCode(plan.error()), exit_code::kBadData);
  EXPECT_NE(plan.error().message().find("conv1.weight"), std::string::npos) << plan.error().message();
}

}  // namespace
}  // namespace ferment::nn
