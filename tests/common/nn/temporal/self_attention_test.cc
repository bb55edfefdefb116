// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/self_attention.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/transformercoder.h>
#include <torch/nn/modules/transformerlayer.h>

#include <vector>

namespace ferment::nn {
namespace {

using torch::Tensor;

/// Two layers whose weights all differ; LibTorch's own begin equal, and with zeros.
torch::nn::TransformerEncoder RandomEncoder() {
  torch::manual_seed(3);
  const auto layer = torch::nn::TransformerEncoderLayerOptions(24, 3).dim_feedforward(40).dropout(0);
  torch::nn::TransformerEncoder encoder(torch::nn::TransformerEncoderOptions(layer, 2));
  const torch::NoGradGuard no_grad;
  for (auto& parameter : encoder->parameters()) parameter.add_(0.2 * torch::randn_like(parameter));
  return encoder;
}

Tensor OfLibTorch(torch::nn::TransformerEncoder& encoder, const Tensor& x, const Tensor& masked) {
  return encoder(x.transpose(0, 1), Tensor(), masked).transpose(0, 1);
}

TEST(SelfAttention, ComputesLibTorchsEncoderAndItsGradients) {
  auto encoder = RandomEncoder();
  Tensor x = torch::randn({3, 10, 24}).requires_grad_();
  Tensor masked = torch::zeros({3, 10}, torch::kBool);
  for (const bool some : {false, true}) {
    if (some) {
      masked[0].slice(0, 6, 10).fill_(true);
      masked[2][0] = true;
    }
    Dropout none(0, {});
    const Tensor ours = EncodeSequence(*encoder, x, masked, none);
    const Tensor theirs = OfLibTorch(encoder, x, masked);
    EXPECT_TRUE(torch::allclose(ours, theirs, 1e-4, 1e-5)) << "masked: " << some;
    const Tensor weight = torch::randn_like(ours);
    std::vector<Tensor> inputs = encoder->parameters();
    inputs.push_back(x);
    const auto gradients = torch::autograd::grad({(ours * weight).sum()}, inputs);
    const auto wanted = torch::autograd::grad({(theirs * weight).sum()}, inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_LE((gradients[i] - wanted[i]).norm().item<double>(), 1e-4 * wanted[i].norm().item<double>() + 1e-5) << i;
    }
  }
}

/// Attention weights, both sums and the hidden layer are dropped, in each of two layers: eight calls.
TEST(SelfAttention, DropsInAllFourPlacesOfEachLayer) {
  auto encoder = RandomEncoder();
  const Tensor x = torch::randn({2, 10, 24});
  const Tensor masked = torch::zeros({2, 10}, torch::kBool);
  const Tensor ones = torch::ones({2, 10, 24});
  Dropout dropout(0.5, {9, 0});
  const Tensor dropped = EncodeSequence(*encoder, x, masked, dropout);
  Dropout counted(0.5, {9, 0});
  for (int call = 0; call < 8; ++call) counted.Apply(ones);
  EXPECT_TRUE(torch::equal(dropout.Apply(ones), counted.Apply(ones))) << "the ninth call";
  Dropout none(0, {});
  EXPECT_FALSE(torch::allclose(dropped, EncodeSequence(*encoder, x, masked, none), 0.1, 0.1));
}

}  // namespace
}  // namespace ferment::nn
