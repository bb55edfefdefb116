// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/face_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/nn/tensor_io.h"
#include "tests/support/run_ranks.h"

namespace ferment::worker {
namespace {

using ::testing::HasSubstr;

RunSpec SpecOf(const std::string& backbone, int classes, const std::string& init) {
  RunSpec spec;
  spec.set_seed(1);
  for (int i = 0; i < classes; ++i) spec.add_classes("c" + std::to_string(i));
  spec.mutable_model()->set_backbone(backbone);
  spec.mutable_model()->set_width(8);
  spec.mutable_model()->set_image_size(32);
  spec.mutable_model()->set_init(init);
  return spec;
}

class FaceNetworkTest : public ::testing::Test {
 protected:
  /// Returns: the network as a recipe starts it, with file_ as model.init.
  Result<std::shared_ptr<nn::Backbone>> Start(const RunSpec& spec) {
    Result<std::shared_ptr<nn::Backbone>> network = Fail(InternalError("no rank ran"));
    testing::RunRanks(1, [&](Collective& ranks) {
      const RecipeContext context{
          .spec = spec, .layout = RunLayout("run"), .phase = "teacher", .world = ranks, .recording = {}};
      network = MakeInitialNetwork(context, 0, torch::kFloat32);
    });
    return network;
  }

  /// Writes another seed's network of 5 classes. Returns: its state.
  NamedTensors Publish(const std::string& backbone) {
    NamedTensors state =
        nn::StateOf(*nn::MakeBackbone({.name = backbone, .width = 8, .image_size = 32, .classes = 5}, 7, 3));
    if (backbone == "iresnet50")
      std::erase_if(state, [](const auto& entry) { return entry.first.starts_with("classifier."); });
    EXPECT_TRUE(nn::SaveTensors(file_, state).ok());
    return state;
  }

  const std::string file_ = ::testing::TempDir() + "/face_network_init.safetensors";
};

TEST_F(FaceNetworkTest, StartsFromTheFileAndDrawsAHeadOfOtherClasses) {
  for (const std::string backbone : {"resnet18", "resnet50", "iresnet50"}) {
    SCOPED_TRACE(backbone);
    const NamedTensors published = Publish(backbone);
    const auto drawn = Start(SpecOf(backbone, 3, "random"));
    const auto started = Start(SpecOf(backbone, 3, file_));
    ASSERT_TRUE(drawn);
    ASSERT_TRUE(started) << started.error().message();
    std::map<std::string, torch::Tensor> given(published.begin(), published.end());
    const NamedTensors before = nn::StateOf(**drawn);
    const NamedTensors after = nn::StateOf(**started);
    const std::string head = backbone == "iresnet50" ? "classifier." : "fc.";
    for (std::size_t i = 0; i < after.size(); ++i) {
      const auto& [name, tensor] = after[i];
      EXPECT_TRUE(torch::equal(tensor, name.starts_with(head) ? before[i].second : given.at(name))) << name;
    }
  }
}

TEST_F(FaceNetworkTest, KeepsAHeadOfAsManyClasses) {
  const NamedTensors published = Publish("resnet18");
  const auto started = Start(SpecOf("resnet18", 5, file_));
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_TRUE(torch::equal(nn::StateOf(**started).back().second, published.back().second));
}

TEST_F(FaceNetworkTest, RefusesAFileOfAnotherWidthOrAPickleThatCalls) {
  Publish("resnet18");
  RunSpec wide = SpecOf("resnet18", 5, file_);
  wide.mutable_model()->set_width(16);
  RunSpec evil = SpecOf("resnet18", 5, std::string(FERMENT_FIXTURES) + "/torch/evil_os_system.pt");
  for (const RunSpec& spec : {wide, evil}) {
    const auto refused = Start(spec);
    ASSERT_FALSE(refused);
    EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kBadData);
    EXPECT_THAT(std::string(refused.error().message()), HasSubstr("model.init=" + spec.model().init()));
  }
}

TEST_F(FaceNetworkTest, DoesNotTakeAnEmbeddingOfAnotherPictureSizeForAHead) {
  Publish("iresnet50");
  RunSpec spec = SpecOf("iresnet50", 5, file_);
  spec.mutable_model()->set_image_size(64);
  const auto refused = Start(spec);
  ASSERT_FALSE(refused);
  EXPECT_THAT(std::string(refused.error().message()), HasSubstr("fc.weight"));
}

}  // namespace
}  // namespace ferment::worker
