// SPDX-License-Identifier: Apache-2.0
#include "common/nn/backbone.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>
#include <iterator>

#include "common/base/json.h"
#include "common/nn/convolution/convolution_tiles.h"
#include "common/nn/tensor_io.h"
#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

Json Layout(const std::string& name) {
  std::ifstream file(std::string(FERMENT_FIXTURES) + "/torchvision/" + name + ".json");
  return *ParseJson(std::string(std::istreambuf_iterator<char>(file), {}));
}

TEST(Backbone, NamesShapesAndOrderAreThoseOfTheReferenceNetworks) {
  for (const std::string name : {"resnet18", "resnet50", "iresnet50"}) {
    const auto state = StateOf(*MakeBackbone({.name = name, .width = 64, .image_size = 112, .classes = 8}, 1, 0));
    const Json entries = Layout(name)["entries"];
    ASSERT_EQ(state.size(), entries.size() + (name == "iresnet50" ? 2 : 0)) << name;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ(state[i].first, entries[i][0].get<std::string>());
      EXPECT_EQ(state[i].second.sizes().vec(), entries[i][1].get<std::vector<std::int64_t>>()) << state[i].first;
    }
  }
}

TEST(Backbone, WeightsDependOnSeedAndStreamAlone) {
  const BackboneConfig config = {.name = "resnet18", .width = 8, .image_size = 32, .classes = 5};
  const auto first = StateOf(*MakeBackbone(config, 3, 1));
  torch::rand({5});
  const auto again = StateOf(*MakeBackbone(config, 3, 1));
  const auto other = StateOf(*MakeBackbone(config, 3, 2));
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(torch::equal(first[i].second, again[i].second));
  EXPECT_FALSE(torch::equal(first[0].second, other[0].second));
}

TEST(Backbone, FoldingKeepsTheAnswerInEveryEngineThatTheProcessorHas) {
  std::vector<ConvolutionEngine> engines = {ConvolutionEngine::kOneDnn};
  if (ConvolutionTiles::SuitThisProcessor()) engines.push_back(ConvolutionEngine::kTiles);
  for (const ConvolutionEngine engine : engines) {
    // 10 channels fill no vector; 8 are read as whole rows of the kernel, 16 tap by tap. At 32 px a ResNet's last maps
    // are one pixel, which is channels-last in any order.
    for (const auto& [name, width, size] : std::vector<std::tuple<std::string, int, int>>{{"resnet18", 16, 48},
                                                                                          {"resnet18", 10, 48},
                                                                                          {"resnet50", 8, 48},
                                                                                          {"resnet18", 16, 32},
                                                                                          {"resnet50", 16, 32},
                                                                                          {"iresnet50", 8, 48},
                                                                                          {"iresnet50", 16, 48},
                                                                                          {"iresnet50", 16, 32}}) {
      auto network = MakeBackbone({.name = name, .width = width, .image_size = size, .classes = 6}, 4, 0);
      const auto images = torch::randn({4, 3, size, size});
      network->train();
      network->forward(images);
      network->eval();
      torch::NoGradGuard no_grad;
      const auto plain = network->forward(images);
      network->FoldBatchNorm(engine);
      EXPECT_EQ(plain.sizes().vec(), (std::vector<std::int64_t>{4, 6}));
      EXPECT_LE((plain - network->forward(images)).abs().max().item<float>(), 1e-3F * plain.abs().max().item<float>())
          << name << " " << width << " at " << size << " engine " << static_cast<int>(engine);
    }
  }
}

TEST(Backbone, FrozenBatchNormNeitherMovesNorUsesTheBatch) {
  auto network = MakeBackbone({.name = "resnet18", .width = 8, .image_size = 32, .classes = 5}, 3, 1);
  network->SetBatchNorm(BatchNormMode::kFrozen);
  network->train();
  const auto images = torch::randn({4, 3, 32, 32});
  const auto together = network->forward(images);
  EXPECT_TRUE(torch::allclose(together.slice(0, 0, 1), network->forward(images.slice(0, 0, 1)), 1e-4, 1e-5));
  for (const auto& [name, value] : StateOf(*network)) {
    if (name.ends_with("num_batches_tracked")) {
      EXPECT_EQ(value.item<std::int64_t>(), 0);
    }
  }
}

TEST(Backbone, BFloat16ImagesPassInBFloat16ThroughFloat32Weights) {
  for (const std::string name : {"resnet18", "resnet50", "iresnet50"}) {
    SCOPED_TRACE(name);
    const auto images = torch::randn({4, 3, 32, 32}).to(torch::kBFloat16);
    std::vector<torch::Tensor> logits, statistics, gradients;
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      auto network = MakeBackbone({.name = name, .width = 8, .image_size = 32, .classes = 5}, 3, 1);
      network->train();
      network->forward(images.to(type));
      for (const auto& [state, value] : StateOf(*network)) {
        EXPECT_EQ(value.scalar_type(), state.ends_with("tracked") ? torch::kInt64 : torch::kFloat32) << state;
      }
      statistics.push_back(network->named_buffers()["bn1.running_var"]);
      // A batch of four normalises by what is nearly nothing, deep in a fresh network: roundings would be all that is
      // seen.
      network->SetBatchNorm(BatchNormMode::kFrozen);
      logits.push_back(network->forward(images.to(type)));
      ASSERT_EQ(logits.back().scalar_type(), torch::kFloat32);
      logits.back().square().sum().backward();
      for (const auto& parameter : network->parameters()) ASSERT_EQ(parameter.grad().scalar_type(), torch::kFloat32);
      gradients.push_back(network->named_parameters()["conv1.weight"].grad());
    }
    const auto off = [](const std::vector<torch::Tensor>& pair) {
      return ((pair[1] - pair[0]).norm() / pair[0].norm()).item<double>();
    };
    // Eight bits a number; in float32 alone they would agree to 1e-5.
    EXPECT_GT(off(logits), 1e-4);
    EXPECT_LT(off(logits), 0.25);
    EXPECT_LT(off(statistics), 0.01);
    EXPECT_GT(off(gradients), 1e-4);
    EXPECT_LT(off(gradients), 0.7);
  }
}

TEST(TensorIo, AFileOfAnotherNetworkIsRefusedWithItsFaults) {
  auto small = MakeBackbone({.name = "resnet18", .width = 8, .image_size = 32, .classes = 5}, 3, 1);
  auto wide = MakeBackbone({.name = "resnet18", .width = 16, .image_size = 32, .classes = 5}, 3, 1);
  const std::string path = ::testing::TempDir() + "/backbone.safetensors";
  ASSERT_TRUE(SaveTensors(path, StateOf(*small)).ok());
  const auto tensors = LoadTensors(path);
  ASSERT_TRUE(tensors);
  const Status refused = LoadState(*wide, *tensors);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("conv1.weight"), std::string::npos);
  EXPECT_TRUE(LoadState(*small, *tensors).ok());
}

TEST(TorchGuard, TurnsExceptionsIntoStatus) {
  const auto failed = Guard([] { return torch::ones({2}).view({3}); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), StatusCode::kInternal);
  EXPECT_TRUE(Guard([] {}).ok());
}

}  // namespace
}  // namespace ferment::nn
