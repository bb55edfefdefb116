// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "common/base/random.h"
#include "common/nn/backbone.h"
#include "common/nn/tensor_io.h"
#include "labeler/torch_annotator.h"
#include "tests/support/rendered_spec.h"

namespace ferment::labeler {
namespace {

/// Faces of many sizes, or all of the network's.
std::vector<dataset::Image> Faces(int count, int size, bool mixed) {
  RandomSequence random(1, 2);
  std::vector<dataset::Image> faces;
  for (int n = 0; n < count; ++n) {
    const int side = mixed && n % 2 == 1 ? size + n : size;
    faces.push_back({side, side, {}});
    for (int i = 0; i < side * side * 3; ++i) faces.back().rgb.push_back(static_cast<std::uint8_t>(random.Below(256)));
  }
  return faces;
}

/// Largest |a - b| over the largest |b|.
double Difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double off = 0, size = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    off = std::max(off, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return off / size;
}

class LabelsOnAGpu : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr int kBatch = 24;

  void SetUp() override {
    const auto device = ChooseInferenceDevice("cuda", 0);
    if (!device) GTEST_SKIP() << device.error().ToString();
    gpu_ = *device;
    SetInferenceThreads(1);
    const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / GetParam();
    std::filesystem::remove_all(folder);
    auto spec = testing::RenderedSpec(folder);
    ASSERT_TRUE(spec) << spec.error().message();
    spec_ = std::move(*spec);
    spec_.mutable_model()->set_backbone(GetParam());
    spec_.mutable_model()->set_width(16);
    spec_.mutable_labeling()->set_batch(kBatch);
    spec_.mutable_labeling()->set_plan("fp32");
    weights_ = folder / "weights.safetensors";
    const auto network = nn::MakeBackbone(nn::BackboneOf(spec_), 1, 0);
    ASSERT_TRUE(nn::SaveTensors(weights_, nn::StateOf(*network)).ok());
  }

  InferenceDevice gpu_;
  RunSpec spec_;
  std::filesystem::path weights_;
};

TEST_P(LabelsOnAGpu, SaysWhatTheCpuSays) {
  const auto on_cpu = MakeTorchAnnotator(spec_, weights_, "");
  const auto on_gpu = MakeTorchAnnotator(spec_, weights_, "", gpu_);
  ASSERT_TRUE(on_cpu) << on_cpu.error().ToString();
  ASSERT_TRUE(on_gpu) << on_gpu.error().ToString();
  EXPECT_EQ((*on_gpu)->batch(), kBatch);
  for (const bool mixed : {false, true}) {
    const auto faces = Faces(static_cast<int>((*on_cpu)->batch()), 32, mixed);
    const auto expected = (*on_cpu)->Annotate(faces);
    const auto found = (*on_gpu)->Annotate(faces);
    ASSERT_TRUE(expected && found) << found.error().message();
    EXPECT_LT(Difference(found->logits, expected->logits), 1e-4) << mixed;
    EXPECT_LT(Difference(found->features, expected->features), 1e-4) << mixed;
  }
}

TEST_P(LabelsOnAGpu, SaysTheSameOfAFaceInAnyCompany) {
  for (const char* plan : {"fp32", "bf16"}) {
    spec_.mutable_labeling()->set_plan(plan);
    spec_.mutable_labeling()->set_threshold(1);  // whatever bf16 says is fine
    const auto annotator = MakeTorchAnnotator(spec_, weights_, "", gpu_);
    ASSERT_TRUE(annotator) << annotator.error().message();
    const auto faces = Faces(kBatch, 32, /*mixed=*/true);
    const auto together = (*annotator)->Annotate(faces);
    ASSERT_TRUE(together) << together.error().message();
    const std::size_t classes = (*annotator)->classes();
    // Each face in each place, a thread for each shift, more of them than lanes.
    std::vector<std::jthread> threads;
    for (std::size_t shift = 1; shift < 9; ++shift) {
      threads.emplace_back([&, shift] {
        std::vector<dataset::Image> turned;
        for (std::size_t i = 0; i < kBatch - shift % 3; ++i) turned.push_back(faces[(i + shift) % kBatch]);
        const auto said = (*annotator)->Annotate(turned);
        ASSERT_TRUE(said) << said.error().message();
        for (std::size_t i = 0; i < turned.size(); ++i) {
          for (std::size_t c = 0; c < classes; ++c) {
            EXPECT_EQ(said->logits[i * classes + c], together->logits[(i + shift) % kBatch * classes + c])
                << plan << " shift " << shift << " face " << i;
          }
        }
      });
    }
  }
}

TEST_P(LabelsOnAGpu, HasABFloat16PlanThatIsCloseAndMeasured) {
  const auto exact = MakeTorchAnnotator(spec_, weights_, "", gpu_);
  spec_.mutable_labeling()->set_plan("bf16");
  spec_.mutable_labeling()->set_threshold(1);
  const auto reduced = MakeTorchAnnotator(spec_, weights_, "", gpu_);
  ASSERT_TRUE(exact && reduced) << reduced.error().message();
  EXPECT_EQ((*reduced)->agreement(), 1);
  const auto faces = Faces(kBatch, 32, /*mixed=*/false);
  const auto expected = (*exact)->Annotate(faces);
  const auto found = (*reduced)->Annotate(faces);
  ASSERT_TRUE(expected && found);
  const double off = Difference(found->features, expected->features);
  EXPECT_LT(off, 0.05);
  EXPECT_GT(off, 1e-5);
}

TEST_P(LabelsOnAGpu, RefusesAnInt8Plan) {
  spec_.mutable_labeling()->set_plan("int8");
  const auto refused = MakeTorchAnnotator(spec_, weights_, "", gpu_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kBadSpec);
}

INSTANTIATE_TEST_SUITE_P(Backbones, LabelsOnAGpu, ::testing::Values("resnet18", "resnet50", "iresnet50"));

}  // namespace
}  // namespace ferment::labeler
