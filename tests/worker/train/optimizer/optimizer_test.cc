// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer/optimizer.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "common/base/json.h"
#include "worker/train/exchange/flat_reductions.h"

namespace ferment::worker {
namespace {

/// One parameter; a column of shape [n, 1], so that it decays.
struct Vector : torch::nn::Module {
  explicit Vector(const std::vector<double>& start) {
    x = register_parameter("x", torch::tensor(start, torch::kFloat64).unsqueeze(1));
  }
  torch::Tensor x;
};

TEST(Optimizer, FollowsTheReferenceTraces) {
  std::ostringstream text;
  text << std::ifstream(FERMENT_FIXTURES "/optim/traces.json").rdbuf();
  const auto fixture = ParseJson(text.str());
  ASSERT_TRUE(fixture);
  int runs = 0;
  for (const Json& run : (*fixture)["runs"]) {
    const Json& options = run["options"];
    if (run["optimiser"] != "SGD" || options.contains("dampening")) continue;
    ++runs;
    Vector module((*fixture)["start"].get<std::vector<double>>());
    GradientBucket bucket(module);
    Sgd sgd(bucket, {.momentum = options.value("momentum", 0.0),
                     .nesterov = options.value("nesterov", false),
                     .weight_decay = options.value("weight_decay", 0.0)});
    for (const Json& step : run["steps"]) {
      bucket.ZeroGradients();
      const auto grad = torch::tensor(step["grad"].get<std::vector<double>>(), torch::kFloat64).unsqueeze(1);
      (module.x * grad).sum().backward();
      sgd.Step(options["lr"], sgd.GradientNorm());
      const auto expected = torch::tensor(step["x_after"].get<std::vector<double>>(), torch::kFloat64).unsqueeze(1);
      ASSERT_TRUE(torch::allclose(module.x, expected, 1e-12, 1e-12)) << run["name"];
    }
  }
  EXPECT_EQ(runs, 5);
}

TEST(Optimizer, ClipsByTheNormOfTheWholeGradientInPlace) {
  Vector module({0, 0});
  GradientBucket bucket(module);
  Sgd sgd(bucket, {.momentum = 0, .nesterov = false, .grad_clip = 1});
  (module.x * torch::tensor({{3.0}, {4.0}}, torch::kFloat64)).sum().backward();
  EXPECT_DOUBLE_EQ(sgd.GradientNorm(), 5);
  sgd.Step(1, sgd.GradientNorm());
  EXPECT_NEAR(module.x[0].item<double>(), -3 / (5 + 1e-6), 1e-15);
  EXPECT_NEAR(sgd.GradientNorm(), 1, 1e-6);
}

TEST(Optimizer, KnowsBeforehandWhetherAStepStaysFinite) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  const auto stays = [](double weight, double gradient, double momentum, double lr, double decay = 0) {
    Vector module({0.5, weight});
    GradientBucket bucket(module);
    Sgd sgd(bucket, {.momentum = 0.9, .nesterov = true, .weight_decay = decay});
    (module.x * torch::tensor({{1.0}, {gradient}}, torch::kFloat64)).sum().backward();
    bucket.DecayedPart(sgd.momentum())[1] = momentum;
    const bool answer = sgd.StaysFinite(lr, sgd.GradientNorm());
    sgd.Step(lr, sgd.GradientNorm());
    EXPECT_TRUE(!answer || (AllFinite(bucket.weights()) && AllFinite(sgd.momentum())));
    return answer;
  };
  EXPECT_TRUE(stays(1, 1, 1, 0.1));
  EXPECT_TRUE(stays(1, 1e100, 1, 0.1));
  EXPECT_FALSE(stays(1, kLargest, 1, 4)) << "a weight overflows";
  EXPECT_FALSE(stays(1, kLargest, kLargest, 0)) << "momentum overflows";
  EXPECT_FALSE(stays(kLargest, 1, 0, 0, 4)) << "the decayed gradient overflows";
  EXPECT_FALSE(stays(1, 1, std::numeric_limits<double>::quiet_NaN(), 0.1));
}

TEST(Optimizer, KnowsItAfterManyStepsToo) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  Vector module({0.5, 1});
  GradientBucket bucket(module);
  Sgd sgd(bucket, {.momentum = 0.9, .nesterov = true, .weight_decay = 0.01});
  const auto differentiate = [&](double gradient) {
    bucket.ZeroGradients();
    (module.x * torch::tensor({{1.0}, {gradient}}, torch::kFloat64)).sum().backward();
  };
  const auto step = [&](double gradient, double lr) {
    differentiate(gradient);
    const bool stays = sgd.StaysFinite(lr, sgd.GradientNorm());
    if (stays) sgd.Step(lr, sgd.GradientNorm());
    EXPECT_TRUE(AllFinite(bucket.weights()) && AllFinite(sgd.momentum()));
    return stays;
  };
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(step(-0.5, 0.1));
  EXPECT_FALSE(step(kLargest, 4)) << "a weight overflows";
  EXPECT_TRUE(step(-0.5, 0.1)) << "nothing has happened";
  EXPECT_TRUE(step(1e200, 1e50)) << "large, and finite";
  EXPECT_FALSE(step(1e300, 1e50));
  bucket.weights()[0] = kLargest;
  differentiate(-1);
  sgd.Forget();
  EXPECT_FALSE(sgd.StaysFinite(kLargest, sgd.GradientNorm()));
}

TEST(Optimizer, DoesNotDecayOneDimensionalParameters) {
  torch::nn::Linear module(torch::nn::LinearOptions(2, 2));
  const torch::Tensor weight = module->weight.clone();
  const torch::Tensor bias = module->bias.clone();
  GradientBucket bucket(*module);
  EXPECT_EQ(bucket.ExcludedFromDecay(), std::vector<std::string>{"bias"});
  Sgd sgd(bucket, {.momentum = 0, .nesterov = false, .weight_decay = 0.5});
  sgd.Step(0.1, 0);
  EXPECT_TRUE(torch::allclose(module->weight, weight * 0.95));
  EXPECT_TRUE(torch::equal(module->bias, bias));
}

TEST(GradientBucket, KeepsChannelsLastAndCollectsGradientsInPlace) {
  torch::nn::Conv2d module(torch::nn::Conv2dOptions(3, 5, 3));
  module->to(torch::kFloat64);
  module->weight.set_data(module->weight.contiguous(torch::MemoryFormat::ChannelsLast));
  const torch::Tensor weight = module->weight.clone();
  GradientBucket bucket(*module);
  EXPECT_TRUE(torch::equal(module->weight, weight));
  EXPECT_TRUE(module->weight.is_contiguous(torch::MemoryFormat::ChannelsLast));
  module->forward(torch::ones({1, 3, 4, 4}, torch::kFloat64)).sum().backward();
  EXPECT_EQ(module->weight.grad().data_ptr<double>(), bucket.gradients().data_ptr<double>());
  EXPECT_GT(bucket.gradients().abs().sum().item<double>(), 0);
}

TEST(GradientBucket, NamesTheParameterThatAStateLacks) {
  torch::nn::Linear module(torch::nn::LinearOptions(2, 2));
  GradientBucket bucket(*module);
  const Status status = bucket.Load({{"weight", torch::ones({2, 2})}}, bucket.weights());
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("bias"), std::string_view::npos);
  EXPECT_EQ(bucket.Load({{"weight", torch::ones({3, 2})}, {"bias", torch::ones({2})}}, bucket.weights()).code(),
            StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ferment::worker
