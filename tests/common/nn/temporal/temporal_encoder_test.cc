// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/temporal_encoder.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace ferment::nn {
namespace {

TemporalConfig SmallConfig(const std::string& encoder) {
  return {.encoder = encoder,
          .input_size = 12,
          .d_model = 16,
          .layers = 2,
          .heads = 4,
          .feed_forward = 32,
          .dropout = 0.1,
          .classes = 8};
}

class TemporalEncoderKinds : public ::testing::TestWithParam<const char*> {};

TEST_P(TemporalEncoderKinds, GiveALogitPerFrameAndClassAndAreTheSameForTheSameSeed) {
  const torch::Tensor features = torch::randn({3, 10, 12});
  const torch::Tensor present = torch::ones({3, 10}, torch::kBool);
  auto first = MakeTemporalEncoder(SmallConfig(GetParam()), 1, 2);
  auto second = MakeTemporalEncoder(SmallConfig(GetParam()), 1, 2);
  auto other = MakeTemporalEncoder(SmallConfig(GetParam()), 1, 3);
  for (auto& encoder : {first, second, other}) encoder->eval();
  const torch::Tensor logits = first->forward(features, present);
  EXPECT_EQ(logits.sizes(), (torch::IntArrayRef{3, 10, 8}));
  EXPECT_TRUE(torch::equal(logits, second->forward(features, present)));
  EXPECT_FALSE(torch::allclose(logits, other->forward(features, present)));
}

TEST_P(TemporalEncoderKinds, FramesWithoutAFaceChangeNothingElsewhere) {
  auto encoder = MakeTemporalEncoder(SmallConfig(GetParam()), 1, 2);
  encoder->eval();
  torch::Tensor features = torch::randn({1, 10, 12});
  torch::Tensor present = torch::ones({1, 10}, torch::kBool);
  present[0][4] = false;
  const torch::Tensor before = encoder->forward(features, present);
  features[0][4] = 1000 * torch::randn({12});
  const torch::Tensor after = encoder->forward(features, present);
  for (int t = 0; t < 10; ++t) {
    if (t == 4) continue;
    EXPECT_TRUE(torch::allclose(before[0][t], after[0][t], 1e-4, 1e-5)) << "frame " << t;
  }
}

TEST_P(TemporalEncoderKinds, AWindowWithoutAnyFaceStaysFinite) {
  auto encoder = MakeTemporalEncoder(SmallConfig(GetParam()), 1, 2);
  encoder->eval();
  const torch::Tensor logits = encoder->forward(torch::zeros({1, 5, 12}), torch::zeros({1, 5}, torch::kBool));
  EXPECT_TRUE(torch::isfinite(logits).all().item<bool>());
}

TEST_P(TemporalEncoderKinds, FrozenComputesWhatEvaluationDoes) {
  auto encoder = MakeTemporalEncoder(SmallConfig(GetParam()), 1, 2);
  encoder->eval();
  const torch::NoGradGuard no_grad;
  for (auto& parameter : encoder->parameters()) parameter.add_(0.1 * torch::randn_like(parameter));
  const torch::Tensor projected = torch::randn({3, 10, 16});
  torch::Tensor present = torch::ones({3, 10}, torch::kBool);
  for (const bool some_absent : {false, true}) {
    if (some_absent) {
      present[0].slice(0, 6, 10).fill_(false);
      present[2].fill_(false);
    }
    const torch::Tensor wanted = encoder->Classify(projected, present, {});
    for (const std::int64_t frames : {30, 40}) {  // as many as it is made for, and fewer
      const torch::Tensor found = encoder->Frozen(frames).classify(projected, present);
      EXPECT_TRUE(torch::allclose(found, wanted, 1e-4, 1e-5)) << "absent: " << some_absent << ", frames: " << frames;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, TemporalEncoderKinds, ::testing::Values("transformer", "gru", "tcn", "none"));

TEST(TemporalEncoder, OnlyTheEncoderLooksAcrossFrames) {
  const torch::Tensor present = torch::ones({1, 10}, torch::kBool);
  const torch::Tensor features = torch::randn({1, 10, 12});
  torch::Tensor changed = features.clone();
  changed[0][0] = torch::randn({12});
  for (const char* kind : {"transformer", "gru", "tcn", "none"}) {
    auto encoder = MakeTemporalEncoder(SmallConfig(kind), 1, 2);
    encoder->eval();
    const bool same = torch::allclose(encoder->forward(features, present)[0][2],
                                      encoder->forward(changed, present)[0][2], 1e-6, 1e-7);
    EXPECT_EQ(same, std::string(kind) == "none") << kind;
  }
}

}  // namespace
}  // namespace ferment::nn
