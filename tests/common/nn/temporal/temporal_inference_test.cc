// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/temporal_inference.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

namespace ferment::nn {
namespace {

constexpr std::size_t kWindow = 8, kHop = 4;

std::shared_ptr<TemporalEncoder> SmallEncoder() {
  return MakeTemporalEncoder({.encoder = "transformer",
                              .input_size = 12,
                              .d_model = 16,
                              .layers = 2,
                              .heads = 4,
                              .feed_forward = 32,
                              .dropout = 0.1,
                              .classes = 3},
                             1, 2);
}

/// Many groups of windows, the last of them not whole, and a stretch without a face.
FrameFeatures LongVideo() {
  torch::manual_seed(4);
  FrameFeatures video{torch::randn({211, 12}), std::vector<bool>(211, true)};
  for (std::size_t i = 100; i < 130; ++i) {
    video.present[i] = false;
    video.features[static_cast<std::int64_t>(i)].zero_();
  }
  return video;
}

void ExpectEqual(const FrameTable& one, const FrameTable& other, double tolerance) {
  ASSERT_EQ(one.frames(), other.frames());
  for (std::size_t frame = 0; frame < one.frames(); ++frame) {
    for (std::size_t c = 0; c < one.Row(frame).size(); ++c)
      ASSERT_NEAR(one.Row(frame)[c], other.Row(frame)[c], tolerance) << "frame " << frame << ", class " << c;
  }
}

/// What the encoder's own forward pass gives for each window, averaged.
FrameTable WindowByWindow(TemporalEncoder& encoder, const FrameFeatures& video) {
  const torch::NoGradGuard no_grad;
  encoder.eval();
  const torch::Tensor present = PresenceTensor(video.present);
  OverlapAverage average(video.present.size(), 3);
  for (const FrameWindow& cut : CutWindows(video.present.size(), kWindow, kHop)) {
    const auto own = [&](const torch::Tensor& frames) {
      return frames.narrow(0, static_cast<std::int64_t>(cut.begin), static_cast<std::int64_t>(cut.length)).unsqueeze(0);
    };
    const torch::Tensor logits = encoder.forward(own(video.features), own(present)).contiguous();
    average.Add(cut, {logits.data_ptr<float>(), static_cast<std::size_t>(logits.numel())});
  }
  return FillGaps(Softmax(average.Mean()), video.present);
}

TEST(TemporalInference, AveragesWhatEachWindowGivesByItself) {
  const auto encoder = SmallEncoder();
  const FrameFeatures video = LongVideo();
  ExpectEqual(FramePredictor(*encoder, 3, kWindow, kHop).Predict(video), WindowByWindow(*encoder, video), 1e-5);
}

TEST(TemporalInference, ThreadsChangeNothing) {
  const auto encoder = SmallEncoder();
  const FrameFeatures video = LongVideo();
  const int before = torch::get_num_threads();
  torch::set_num_threads(1);
  const FrameTable one = FramePredictor(*encoder, 3, kWindow, kHop).Predict(video);
  torch::set_num_threads(3);
  const FrameTable three = FramePredictor(*encoder, 3, kWindow, kHop).Predict(video);
  torch::set_num_threads(before);
  ExpectEqual(one, three, 0);
}

/// What is kept for calls of one length serves no other.
TEST(TemporalInference, OnePredictorServesVideosOfAnyLength) {
  const auto encoder = SmallEncoder();
  const FrameFeatures video = LongVideo();
  FramePredictor predictor(*encoder, 3, kWindow, kHop);
  for (const std::size_t frames : {video.present.size(), std::size_t{5}, video.present.size() / 2}) {
    const FrameFeatures part{video.features.narrow(0, 0, static_cast<std::int64_t>(frames)),
                             {video.present.begin(), video.present.begin() + static_cast<std::ptrdiff_t>(frames)}};
    for (int time = 0; time < 2; ++time) ExpectEqual(predictor.Predict(part), WindowByWindow(*encoder, part), 1e-5);
  }
}

/// Packed weights are of the predictor, not of the encoder.
TEST(TemporalInference, ANewPredictorFollowsWeightsThatChange) {
  const auto encoder = SmallEncoder();
  const FrameFeatures video = LongVideo();
  const FrameTable before = FramePredictor(*encoder, 3, kWindow, kHop).Predict(video);
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : encoder->named_parameters()) {
      if (item.key().find("layers.") != std::string::npos) item.value().add_(0.3 * torch::randn_like(item.value()));
    }
  }
  const FrameTable after = FramePredictor(*encoder, 3, kWindow, kHop).Predict(video);
  EXPECT_GT(std::abs(before.Row(0)[0] - after.Row(0)[0]), 1e-3);
  ExpectEqual(after, WindowByWindow(*encoder, video), 1e-5);
}

}  // namespace
}  // namespace ferment::nn
