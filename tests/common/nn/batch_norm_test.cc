// SPDX-License-Identifier: Apache-2.0
#include "common/nn/batch_norm.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <barrier>
#include <thread>
#include <vector>

#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

/// Sums over threads that play ranks.
class ThreadExchange final : public StatisticsExchange {
 public:
  explicit ThreadExchange(int ranks) : parts_(static_cast<std::size_t>(ranks)), barrier_(ranks) {}
  Status SumAs(std::size_t rank, const torch::Tensor& values) {
    parts_[rank] = values.clone();
    barrier_.arrive_and_wait();
    auto sum = torch::zeros_like(values);
    for (const auto& part : parts_) sum.add_(part);
    barrier_.arrive_and_wait();
    values.copy_(sum);
    return Status();
  }
  Status Sum(const torch::Tensor& /*values*/) override { return InternalError("a rank is needed"); }

 private:
  std::vector<torch::Tensor> parts_;
  std::barrier<> barrier_;
};

class RankExchange final : public StatisticsExchange {
 public:
  RankExchange(ThreadExchange& shared, std::size_t rank) : shared_(shared), rank_(rank) {}
  Status Sum(const torch::Tensor& values) override { return shared_.SumAs(rank_, values); }

 private:
  ThreadExchange& shared_;
  std::size_t rank_;
};

TEST(BatchNorm, LocalIsPyTorchs) {
  torch::manual_seed(1);
  const auto x = torch::randn({6, 3, 5, 5}) * 2 + 1;
  BatchNorm ours(3);
  torch::nn::BatchNorm2d theirs(3);
  EXPECT_TRUE(torch::allclose(ours->forward(x), theirs->forward(x)));
  EXPECT_TRUE(torch::allclose(ours->running_var, theirs->running_var));
  EXPECT_EQ(ours->num_batches_tracked.item<std::int64_t>(), 1);
  ours->eval();
  theirs->eval();
  EXPECT_TRUE(torch::allclose(ours->forward(x), theirs->forward(x)));
}

/// The loops take channels-last.
class BatchNormSync : public ::testing::TestWithParam<torch::MemoryFormat> {};

TEST_P(BatchNormSync, OverUnequalRanksIsOneBatchForwardAndBackward) {
  torch::manual_seed(2);
  const auto x = (torch::randn({7, 4, 3, 3}, torch::kFloat64) * 3 + 5).contiguous(GetParam());
  const auto dy = torch::randn_like(x);
  BatchNorm whole(4);
  whole->to(torch::kFloat64);
  auto whole_x = x.clone().requires_grad_();
  const auto whole_y = whole->forward(whole_x);
  whole_y.backward(dy);

  const std::vector<std::pair<int, int>> rows = {{0, 2}, {2, 2}, {2, 7}};
  ThreadExchange shared(3);
  std::vector<BatchNorm> norms;
  std::vector<torch::Tensor> xs(3), ys(3);
  for (int rank = 0; rank < 3; ++rank) norms.emplace_back(4)->to(torch::kFloat64);
  {
    std::vector<std::jthread> ranks;
    for (std::size_t rank = 0; rank < 3; ++rank) {
      ranks.emplace_back([&, rank] {
        RankExchange exchange(shared, rank);
        const auto [begin, end] = rows[rank];
        norms[rank]->SetMode(BatchNormMode::kSync, &exchange);
        xs[rank] = x.slice(0, begin, end).clone().requires_grad_();
        ys[rank] = norms[rank]->forward(xs[rank]);
        ys[rank].backward(dy.slice(0, begin, end));
      });
    }
  }
  EXPECT_TRUE(torch::allclose(torch::cat(ys), whole_y, 1e-10, 1e-10));
  EXPECT_TRUE(torch::allclose(torch::cat({xs[0].grad(), xs[1].grad(), xs[2].grad()}), whole_x.grad(), 1e-9, 1e-10));
  const auto weight_gradient = norms[0]->weight.grad() + norms[1]->weight.grad() + norms[2]->weight.grad();
  EXPECT_TRUE(torch::allclose(weight_gradient, whole->weight.grad(), 1e-9, 1e-10));
  for (const auto& norm : norms) {
    EXPECT_TRUE(torch::allclose(norm->running_mean, whole->running_mean));
    EXPECT_TRUE(torch::allclose(norm->running_var, whole->running_var));
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, BatchNormSync,
                         ::testing::Values(torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast),
                         [](const auto& layout) {
                           return layout.param == torch::MemoryFormat::Contiguous ? "Contiguous" : "ChannelsLast";
                         });

TEST(BatchNorm, SaysThatStatisticsHaveMovedSinceTheyWereSaved) {
  BatchNorm norm(4);
  norm->eval();
  const torch::Tensor y = norm->forward(torch::randn({2, 4, 3, 3}).requires_grad_());  // saves the running statistics
  norm->train();
  norm->forward(torch::randn({2, 4, 3, 3}).contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_THROW(y.sum().backward(), c10::Error);
}

/// In a layout that the loops do not take, as on a GPU.
TEST(BatchNorm, OfBFloat16HasItsMomentsAndGradientsInFloat32) {
  torch::manual_seed(4);
  const auto x = torch::randn({8, 4, 6, 6}) * 0.1 + 100;  // bfloat16 keeps one bit of what is behind the point
  const auto dy = torch::randn_like(x);
  for (const BatchNormMode mode : {BatchNormMode::kLocal, BatchNormMode::kSync}) {
    std::vector<torch::Tensor> results[2];
    for (const bool narrow : {false, true}) {
      ThreadExchange shared(1);
      RankExchange exchange(shared, 0);
      BatchNorm norm(4);
      norm->SetMode(mode, &exchange);
      const auto input = narrow ? x.to(torch::kBFloat16) : x.to(torch::kBFloat16).to(torch::kFloat32);
      const auto leaf = input.detach().requires_grad_();
      const auto y = norm->forward(leaf);
      EXPECT_EQ(y.scalar_type(), input.scalar_type());
      y.backward(dy.to(torch::kBFloat16).to(y.scalar_type()));
      results[narrow] = {norm->running_mean, norm->running_var,     norm->weight.grad(),
                         norm->bias.grad(),  y.to(torch::kFloat32), leaf.grad().to(torch::kFloat32)};
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      EXPECT_EQ(results[1][i].scalar_type(), torch::kFloat32);
      EXPECT_LT((results[1][i] - results[0][i]).norm().item<double>(), 0.01 * results[0][i].norm().item<double>())
          << "result " << i << " mode " << static_cast<int>(mode);
    }
  }
}

TEST(BatchNorm, AnExchangeThatFailsIsAFailureAndNotAWrongNumber) {
  ThreadExchange without_rank(1);
  BatchNorm norm(2);
  norm->SetMode(BatchNormMode::kSync, &without_rank);
  const auto failed = Guard([&] { return norm->forward(torch::randn({4, 2})); });
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message().find("a rank is needed"), std::string_view::npos);
}

}  // namespace
}  // namespace ferment::nn
