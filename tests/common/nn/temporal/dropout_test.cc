// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/dropout.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/nn/kernels/philox.h"

namespace ferment::nn {
namespace {

using torch::Tensor;

Dropout Of(double rate, std::uint64_t bits = 7, std::int64_t first_row = 0) { return {rate, {bits, first_row}}; }

/// Random123's kat_vectors.
TEST(Philox, HasThePublishedWordsOfCounterAndKeyZero) {
  std::vector<std::uint32_t> words(kPhiloxGroup);
  FillWithPhilox(0, 0, words);
  EXPECT_EQ(words[0], 0x6627e8d5U);
  EXPECT_EQ(words[8], 0xe169c58dU);
  EXPECT_EQ(words[16], 0xbc57ac4cU);
  EXPECT_EQ(words[24], 0x9b00dbd8U);
}

TEST(Philox, IsTheSameOnEveryProcessorAndFromEveryBeginning) {
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{5}, (std::uint64_t{1} << 29) - 1}) {
    std::vector<std::uint32_t> here(4 * kPhiloxGroup);
    std::vector<std::uint32_t> anywhere(here.size());
    FillWithPhilox(0x0123456789abcdef, first, here);
    FillWithPhiloxAnywhere(0x0123456789abcdef, first, anywhere);
    EXPECT_EQ(here, anywhere);
    std::vector<std::uint32_t> later(kPhiloxGroup);
    FillWithPhilox(0x0123456789abcdef, first + 3, later);
    EXPECT_TRUE(std::equal(later.begin(), later.end(), here.begin() + 3 * kPhiloxGroup));
  }
}

TEST(Dropout, DropsItsShareAndScalesTheRest) {
  const Tensor x = torch::ones({400, 1000});
  for (const double rate : {0.1, 0.5, 0.9}) {
    const Tensor y = Of(rate).Apply(x);
    const double kept = (y != 0).to(torch::kFloat64).mean().item<double>();
    // Five standard deviations of a share of 400,000.
    EXPECT_NEAR(kept, 1 - rate, 5 * std::sqrt(rate * (1 - rate) / 400'000)) << rate;
    EXPECT_TRUE(torch::logical_or(y == 0, y == static_cast<float>(1 / (1 - rate))).all().item<bool>());
  }
}

TEST(Dropout, NeighboursCallsAndSeedsAreIndependent) {
  const Tensor x = torch::ones({500, 800});
  Dropout dropout = Of(0.5);
  const Tensor first = dropout.Apply(x) - 1;
  const double bound = 5 / std::sqrt(static_cast<double>(x.numel()));
  const auto correlation = [](const Tensor& a, const Tensor& b) { return (a * b).mean().item<double>(); };
  EXPECT_NEAR(correlation(first, dropout.Apply(x) - 1), 0, bound);
  EXPECT_NEAR(correlation(first, Of(0.5, 8).Apply(x) - 1), 0, bound);
  EXPECT_NEAR(correlation(first, first.roll(1, 1)), 0, bound);
  EXPECT_NEAR(correlation(first, first.roll(8, 1)), 0, bound);
  EXPECT_NEAR(correlation(first, first.roll(1, 0)), 0, bound);
}

TEST(Dropout, ARowHasTheSameMaskWhateverRankAndThreadsHaveIt) {
  const Tensor x = torch::randn({7, 3, 333});  // rows that begin anywhere in a group of words
  const Tensor whole = Of(0.3).Apply(x);
  const int threads = at::get_num_threads();
  at::set_num_threads(3);
  EXPECT_TRUE(torch::equal(Of(0.3).Apply(x), whole));
  at::set_num_threads(threads);
  for (std::int64_t row = 0; row < 7; ++row) {
    EXPECT_TRUE(torch::equal(Of(0.3, 7, row).Apply(x.slice(0, row, row + 1))[0], whole[row])) << row;
  }
}

/// What autograd makes of the same in PyTorch's operations, with the mask that `Apply` of ones shows.
TEST(Dropout, AllThreeHaveTheGradientsOfWhatTheyCompute) {
  const Tensor mask = Of(0.3).Apply(torch::ones({6, 50}));
  const Tensor weight = torch::randn({6, 50});
  const auto check = [&](const auto& ours, const auto& theirs) {
    Tensor x = torch::randn({6, 50}).requires_grad_();
    Tensor residual = torch::randn({6, 50}).requires_grad_();
    const Tensor y = ours(x, residual);
    const Tensor expected = theirs(x, residual);
    EXPECT_TRUE(torch::allclose(y, expected));
    const auto gradients = torch::autograd::grad({(y * weight).sum()}, {x, residual}, {}, {}, false, true);
    const auto wanted = torch::autograd::grad({(expected * weight).sum()}, {x, residual}, {}, {}, false, true);
    EXPECT_TRUE(torch::allclose(gradients[0], wanted[0]));
    ASSERT_EQ(gradients[1].defined(), wanted[1].defined());
    if (wanted[1].defined()) {
      EXPECT_TRUE(torch::allclose(gradients[1], wanted[1]));
    }
  };
  check([](const Tensor& x, const Tensor&) { return Of(0.3).Apply(x); },
        [&](const Tensor& x, const Tensor&) { return x * mask; });
  check([](const Tensor& x, const Tensor& residual) { return Of(0.3).ApplyAndAdd(x, residual); },
        [&](const Tensor& x, const Tensor& residual) { return residual + x * mask; });
  check([](const Tensor& x, const Tensor&) { return Of(0.3).RectifyAndApply(x); },
        [&](const Tensor& x, const Tensor&) { return torch::relu(x) * mask; });
}

TEST(Dropout, OfNothingChangesNothing) {
  const Tensor x = torch::randn({3, 40});
  EXPECT_TRUE(torch::equal(Of(0).Apply(x), x));
  EXPECT_TRUE(torch::equal(Of(0).RectifyAndApply(x), torch::relu(x)));
  EXPECT_EQ(Of(0.5).Apply(torch::zeros({0, 40})).numel(), 0);
}

}  // namespace
}  // namespace ferment::nn
