// SPDX-License-Identifier: Apache-2.0
#include "labeler/torch_annotator.h"

#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>

#include "common/base/random.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/nn/backbone.h"
#include "common/nn/convolution/quantized_convolution.h"
#include "common/nn/preprocess.h"
#include "common/nn/tensor_io.h"
#include "labeler/plan_agreement.h"
#include "tests/support/rendered_spec.h"

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
  spec.mutable_labeling()->set_plan("bf16");
  const auto refused = MakeTorchAnnotator(spec, weights, "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kBadSpec);
  EXPECT_NE(refused.error().message().find("labeling.plan=bf16"), std::string::npos);
}

TEST(TorchAnnotator, RunsOnTheCpuWhereNoGpuMayBeUsed) {
  const auto wanted = ChooseInferenceDevice("cuda", 0);
  const auto chosen = ChooseInferenceDevice("auto", 0);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->cuda.has_value(), wanted.has_value());
  if (!wanted) {
    EXPECT_EQ(ProcessExitCode(wanted.error()), exit_code::kMissingService);
  }
  EXPECT_FALSE(ChooseInferenceDevice("cpu", 0)->cuda);
}

class Int8Annotator : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!nn::QuantizedConvolution::SuitsThisProcessor()) GTEST_SKIP() << "int8 needs AVX2 and FMA";
    const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "int8_annotator";
    std::filesystem::remove_all(folder);
    auto spec = testing::RenderedSpec(folder);
    ASSERT_TRUE(spec) << spec.error().message();
    spec_ = std::move(*spec);
    spec_.mutable_labeling()->set_plan("int8");
    spec_.mutable_labeling()->set_threshold(0);
  }

  std::vector<dataset::Image> Records() const {
    const auto source = dataset::OpenFr(spec_);
    std::vector<dataset::Image> faces;
    for (std::uint64_t i = 0; i < (*source)->size(); ++i) {
      faces.push_back(*dataset::DecodePicture((*source)->Read(i)->image));
    }
    return faces;
  }

  RunSpec spec_;
};

TEST_F(Int8Annotator, IsTheSameWhateverTheThreadsThatMadeIt) {
  spec_.mutable_labeling()->set_threshold(1);  // whatever it says is fine
  const std::string weights = Weights(spec_);
  const auto faces = Records();
  std::vector<float> expected;
  for (const int threads : {1, 2, 3}) {
    SetInferenceThreads(threads == 3 ? 2 : 1);
    const auto annotator = MakeTorchAnnotator(spec_, weights, "", {.threads = threads});
    ASSERT_TRUE(annotator) << annotator.error().message();
    const auto said = (*annotator)->Annotate(std::span(faces).first((*annotator)->batch()));
    ASSERT_TRUE(said);
    if (expected.empty()) expected = said->logits;
    EXPECT_EQ(said->logits, expected);
  }
  spec_.mutable_labeling()->set_plan("fp32");
  const auto exact = MakeTorchAnnotator(spec_, weights, "");
  EXPECT_NE((*exact)->Annotate(std::span(faces).first((*exact)->batch()))->logits, expected);
}

TEST_F(Int8Annotator, IsNotMadeOnceTheLabelerIsToEnd) {
  std::stop_source ending;
  ending.request_stop();
  const auto stopped = MakeTorchAnnotator(spec_, Weights(spec_), "", {}, ending.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code(), StatusCode::kCancelled);
}

/// Asks to stop at one of LibTorch's operations, whichever thread comes to it, and counts all of them. One at a time.
class StopAtOperation {
 public:
  explicit StopAtOperation(std::int64_t at) : at_(at) { current_ = this; }
  ~StopAtOperation() { at::removeCallback(handle_); }
  StopAtOperation(const StopAtOperation&) = delete;
  StopAtOperation& operator=(const StopAtOperation&) = delete;

  std::stop_token token() const { return ending_.get_token(); }
  std::int64_t seen() const { return seen_; }

 private:
  static std::unique_ptr<at::ObserverContext> Count(const at::RecordFunction& /*operation*/) {
    StopAtOperation& stop = *current_;
    if (++stop.seen_ == stop.at_) stop.ending_.request_stop();
    return nullptr;
  }

  static inline std::atomic<StopAtOperation*> current_;
  const std::int64_t at_;
  std::atomic<std::int64_t> seen_ = 0;
  std::stop_source ending_;
  at::CallbackHandle handle_ =
      at::addGlobalCallback(at::RecordFunctionCallback(Count).scopes({at::RecordScope::FUNCTION}));
};

TEST_F(Int8Annotator, AStopEndsItsMakingWhereverItIs) {
  SetInferenceThreads(1);
  const std::string weights = Weights(spec_);
  constexpr std::int64_t kNever = 0;
  const auto operations = [&](std::int64_t stop_at) {
    const StopAtOperation stop(stop_at);
    const auto made = MakeTorchAnnotator(spec_, weights, "", {}, stop.token());
    if (stop_at != kNever) {
      EXPECT_EQ(made ? StatusCode::kOk : made.error().code(), StatusCode::kCancelled) << "at operation " << stop_at;
    }
    return stop.seen();
  };
  const std::int64_t all = operations(kNever);
  constexpr std::int64_t kPlaces = 5;
  for (std::int64_t place = 0; place < kPlaces; ++place) {
    const std::int64_t at = 1 + place * all / kPlaces;
    // A network's file is read in one piece.
    EXPECT_LT(operations(at) - at, all / 4) << "after operation " << at << " of " << all;
  }
}

/// A classifier that looks where the faces' features differ by nothing but rounding.
TEST_F(Int8Annotator, SaysHowOftenItNamesOtherClasses) {
  const auto network = nn::MakeBackbone(nn::BackboneOf(spec_), 1, 0);
  {
    torch::NoGradGuard no_grad;
    network->eval();
    const auto features = network->Features(nn::StackImages(Records(), 32)).to(torch::kFloat64);
    const auto mean = features.mean(0, /*keepdim=*/true);
    const auto axes = std::get<2>(torch::svd(features - mean, /*some=*/false));  // [D, D], the strongest first
    const auto weakest = axes.slice(1, -spec_.classes_size()).t().contiguous() * 1e6;
    for (auto& [name, tensor] : nn::StateOf(*network)) {
      if (name == "fc.weight") torch::Tensor(tensor).copy_(weakest);
      if (name == "fc.bias") torch::Tensor(tensor).copy_(-weakest.matmul(mean.t()).flatten());
    }
  }
  const std::string weights = ::testing::TempDir() + "/disagreeing.safetensors";
  ASSERT_TRUE(nn::SaveTensors(weights, nn::StateOf(*network)).ok());
  const auto annotator = MakeTorchAnnotator(spec_, weights, "", {.threads = 2});
  ASSERT_TRUE(annotator) << annotator.error().message();
  EXPECT_LT((*annotator)->agreement(), kLeastAgreement);
}

}  // namespace
}  // namespace ferment::labeler
