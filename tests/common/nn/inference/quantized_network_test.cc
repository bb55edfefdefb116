// SPDX-License-Identifier: Apache-2.0
#include "common/nn/inference/quantized_network.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "common/nn/inference/activation_ranges.h"
#include "common/nn/inference/inference_plan.h"
#include "common/nn/kernels/quantized_tiles.h"
#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

/// Smooth pictures, [n, 3, side, side] in -1..1.
torch::Tensor Faces(std::int64_t n, std::int64_t side) {
  torch::manual_seed(11);
  const auto coarse = torch::rand({n, 3, 7, 7}) * 2 - 1;
  return torch::upsample_bilinear2d(coarse, {side, side}, /*align_corners=*/true);
}

/// A network whose BatchNorms all do something. Statistics of its own few faces would be no better: a deep network that
/// was not trained then makes much of any rounding, also of float32's.
std::shared_ptr<Backbone> Network(const BackboneConfig& config) {
  auto network = MakeBackbone(config, /*seed=*/4, /*stream=*/0);
  torch::manual_seed(7);
  torch::NoGradGuard no_grad;
  for (const auto& module : network->modules()) {
    auto* norm = module->as<BatchNormImpl>();
    if (norm == nullptr) continue;
    norm->weight.copy_(torch::rand_like(norm->weight) * 0.6 + 0.7);
    norm->bias.copy_(torch::randn_like(norm->bias) * 0.1);
    norm->running_mean.copy_(torch::randn_like(norm->bias) * 0.1);
    norm->running_var.copy_(torch::rand_like(norm->bias) + 0.5);
  }
  network->eval();
  return network;
}

double RelativeError(const torch::Tensor& a, const torch::Tensor& exact) {
  return ((a - exact).square().mean().sqrt() / exact.square().mean().sqrt()).item<double>();
}

/// The steps in float32 by LibTorch's plain operations. Returns: logits.
torch::Tensor RunPlainly(const NetworkSteps& network, const torch::Tensor& images) {
  std::vector<torch::Tensor> activations = {images};
  for (const NetworkStep& step : network.steps) {
    const auto& x = activations[step.input];
    torch::Tensor y;
    if (step.kind == NetworkStep::Kind::kMaxPool) {
      y = torch::max_pool2d(x, 3, 2, 1);
    } else if (step.kind == NetworkStep::Kind::kScale) {
      y = x * step.weight.view({1, -1, 1, 1}) + step.bias.view({1, -1, 1, 1});
    } else {
      y = torch::conv2d(x, step.weight, step.bias, step.shape.stride, step.shape.padding);
      if (step.residual) y = y + activations[*step.residual];
      if (step.rectify) y = y.relu();
      if (step.slope.defined()) y = torch::prelu(y, step.slope);
    }
    activations.push_back(y);
  }
  const auto last = activations.back().permute({0, 2, 3, 1}).contiguous();
  const auto features = network.embedding.defined()
                            ? torch::addmm(network.embedding_bias, last.flatten(1), network.embedding.t())
                            : last.mean({1, 2});
  return torch::addmm(network.classifier_bias, features, network.classifier.t());
}

class QuantizedNetworkTest : public ::testing::TestWithParam<BackboneConfig> {
 protected:
  void SetUp() override {
    if (!QuantizedConvolution::SuitsThisProcessor()) GTEST_SKIP() << "int8 needs AVX2 and FMA";
  }
};

TEST_P(QuantizedNetworkTest, IsMadeFromStepsThatAreTheNetwork) {
  torch::NoGradGuard no_grad;
  const auto network = Network(GetParam());
  const auto faces = Faces(3, GetParam().image_size);
  EXPECT_LE(RelativeError(RunPlainly(StepsOf(GetParam(), StateOf(*network)), faces), network->forward(faces)), 1e-4);
}

TEST_P(QuantizedNetworkTest, SeesNearlyWhatTheNetworkSees) {
  torch::NoGradGuard no_grad;
  const auto network = Network(GetParam());
  const auto faces = Faces(12, GetParam().image_size);
  const NetworkSteps steps = StepsOf(GetParam(), StateOf(*network));
  const auto quantized = *QuantizedNetwork::Make(steps, faces.slice(0, 0, 4), ConvolutionEngine::kOneDnn);
  const Prediction got = quantized.Run(faces);
  const auto features = network->Features(faces);
  const auto error = RelativeError(got.features, features);
  RecordProperty("relative_error", std::to_string(error));
  // Seen: 0.02 to 0.06 with the ResNets, 0.28 with this untrained iresnet50, whose steps are right (above).
  const double bound = GetParam().name == "iresnet50" ? 0.5 : 0.15;
  EXPECT_LE(error, bound);
  EXPECT_LE(RelativeError(got.logits, network->Classify(features)), bound);
}

TEST_P(QuantizedNetworkTest, IsTheSameWhateverTheThreadsAndTheCompany) {
  torch::NoGradGuard no_grad;
  const auto network = Network(GetParam());
  const auto faces = Faces(4, GetParam().image_size);
  const NetworkSteps steps = StepsOf(GetParam(), StateOf(*network));
  torch::Tensor expected;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const auto quantized = *QuantizedNetwork::Make(steps, faces.slice(0, 0, 2), EngineOfThisProcessor());
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

TEST(ScaleBytes, ScalesChannelByChannelRoundsAndCutsOff) {
  if (!HasQuantizedTiles(QuantizedTiles::kAvx2)) GTEST_SKIP() << "int8 needs AVX2 and FMA";
  constexpr std::int64_t kChannels = 11;  // one vector and a part
  std::vector<std::uint8_t> x, y(2 * kChannels);
  std::vector<float> factor, offset;
  for (std::int64_t c = 0; c < kChannels; ++c) {
    factor.push_back(0.3F * static_cast<float>(c) - 1);
    offset.push_back(20.0F - static_cast<float>(c));
  }
  for (int i = 0; i < 2 * kChannels; ++i) x.push_back(static_cast<std::uint8_t>(i * 5));
  ScaleBytes(x.data(), 2, kChannels, factor.data(), offset.data(), y.data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t c = i % kChannels;
    EXPECT_NEAR(y[i], std::clamp(x[i] * factor[c] + offset[c], 0.0F, 127.0F), 0.501F) << i;
  }
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
