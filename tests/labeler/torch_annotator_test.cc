// SPDX-License-Identifier: Apache-2.0
#include "labeler/torch_annotator.h"

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/nn/backbone.h"
#include "common/nn/tensor_io.h"

namespace ferment::labeler {
namespace {

RunSpec SmallSpec() {
  RunSpec spec;
  spec.mutable_model()->set_backbone("resnet18");
  spec.mutable_model()->set_width(16);
  spec.mutable_model()->set_image_size(56);
  for (const char* name : {"a", "b", "c"}) spec.add_classes(name);
  spec.mutable_labeling()->set_batch(16);
  spec.mutable_labeling()->set_plan("auto");
  return spec;
}

std::string Weights(const RunSpec& spec) {
  const std::string path = ::testing::TempDir() + "/annotator.safetensors";
  EXPECT_TRUE(nn::SaveTensors(path, nn::StateOf(*nn::MakeBackbone(nn::BackboneOf(spec), 1, 0))).ok());
  return path;
}

std::vector<dataset::Image> Faces(int count) {
  RandomSequence random(1, 2);
  std::vector<dataset::Image> faces(static_cast<std::size_t>(count), {56, 56, {}});
  for (auto& face : faces)
    for (int i = 0; i < 56 * 56 * 3; ++i) face.rgb.push_back(static_cast<std::uint8_t>(random.Below(256)));
  return faces;
}

TEST(TorchAnnotator, ThreadsAndCompanyDoNotChangeABit) {
  const RunSpec spec = SmallSpec();
  const auto annotator = MakeTorchAnnotator(spec, Weights(spec), "");
  ASSERT_TRUE(annotator) << annotator.error().message();
  const auto faces = Faces(16);
  SetInferenceThreads(1);
  const auto one = (*annotator)->Annotate(faces);
  SetInferenceThreads(2);
  const auto two = (*annotator)->Annotate(faces);
  const auto few = (*annotator)->Annotate(std::span(faces).first(3));
  ASSERT_TRUE(one && two && few);
  EXPECT_EQ(one->logits, two->logits);
  EXPECT_EQ(std::vector<float>(one->logits.begin(), one->logits.begin() + 9), few->logits);
}

TEST(TorchAnnotator, RefusesAnotherFileAndAnUnknownArithmetic) {
  RunSpec spec = SmallSpec();
  const std::string weights = Weights(spec);
  EXPECT_EQ(MakeTorchAnnotator(spec, weights, std::string(64, '0')).error().code(), StatusCode::kDataLoss);
  spec.mutable_labeling()->set_plan("int8");
  EXPECT_EQ(ProcessExitCode(MakeTorchAnnotator(spec, weights, "").error()), exit_code::kBadSpec);
}

}  // namespace
}  // namespace ferment::labeler
