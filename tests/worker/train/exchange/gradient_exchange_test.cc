// SPDX-License-Identifier: Apache-2.0
#include "worker/train/exchange/gradient_exchange.h"

#include <gmock/gmock.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "tests/support/run_ranks.h"

namespace ferment::worker {
namespace {

using ::testing::ElementsAre;

torch::Tensor Wave(torch::IntArrayRef sizes, int phase) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return torch::sin(torch::arange(count, torch::kFloat64) * (0.37 * phase)).view(sizes);
}

/// Three layers that decay, and what does not.
struct Layers : torch::nn::Module {
  Layers() {
    first = register_module("first", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 5, 3).bias(false)));
    norm = register_module("norm", torch::nn::BatchNorm2d(5));
    second = register_module("second", torch::nn::Linear(5 * 36, 11));
    last = register_module("last", torch::nn::Linear(11, 4));
    to(torch::kFloat64);
    eval();
    // LibTorch's generator is all threads' own.
    torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : parameters()) parameter.copy_(Wave(parameter.sizes(), 1) * 0.2);
  }
  torch::Tensor forward(const torch::Tensor& images) {
    return last(torch::relu(second(torch::relu(norm(first(images))).flatten(1))));
  }

  torch::nn::Conv2d first = nullptr;
  torch::nn::BatchNorm2d norm = nullptr;
  torch::nn::Linear second = nullptr;
  torch::nn::Linear last = nullptr;
};

torch::Tensor LossOf(Layers& layers, int rank) { return layers.forward(Wave({2, 3, 8, 8}, rank + 2)).square().sum(); }

/// A peer that brings the same gradients, and notes what it is asked for.
class Twin : public Collective {
 public:
  explicit Twin(const Layers& layers) : layers_(layers) {}
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Status AllReduceSum(std::span<float>) override { return InternalError("float32 was not expected"); }
  Status AllReduceSum(std::span<double> values) override {
    for (double& value : values) value *= 2;
    return Status();
  }
  Status BeginSum(std::span<double> values) override {
    first_layer_was_made.push_back(layers_.first->weight.grad().abs().sum().item<double>() > 0);
    begun.push_back(values);
    return refuse_from == begun.size() ? UnavailableError("gone").WithExitCode(exit_code::kPeerLost) : Status();
  }
  Result<std::size_t> AdvanceSums() override {
    ++advanced;
    return begun.size();
  }
  Status AwaitSums() override {
    ++awaited;
    for (const std::span<double> values : begun) FERMENT_RETURN_IF_ERROR(AllReduceSum(values));
    return Status();
  }
  Status Broadcast(std::span<std::byte>, int) override { return Status(); }
  Status AllGather(std::span<const std::byte>, std::span<std::byte>) override { return Status(); }
  Status Barrier() override { return Status(); }
  Result<std::unique_ptr<Collective>> Split(int) override { return Fail(InternalError("not expected")); }
  void Abort(int) override {}

  std::vector<bool> first_layer_was_made;
  std::vector<std::span<double>> begun;
  std::size_t refuse_from = 0;
  int advanced = 0;
  int awaited = 0;

 private:
  const Layers& layers_;
};

constexpr std::int64_t kSmallParts = 8;

TEST(GradientExchange, SumsWhatOneSumAfterBackwardWouldSum) {
  for (const int ranks : {1, 2, 3}) {
    ::ferment::testing::RunRanks(ranks, [](Collective& collective) {
      Layers plain;
      Layers exchanged;
      GradientBucket plain_bucket(plain);
      GradientBucket bucket(exchanged);
      for (const std::int64_t part_bytes : {kSmallParts, std::int64_t{1} << 30}) {
        GradientExchange exchange(bucket, collective, part_bytes);
        for (int step = 0; step < 2; ++step) {
          plain_bucket.ZeroGradients();
          bucket.ZeroGradients();
          LossOf(plain, collective.rank() + step).backward();
          ASSERT_TRUE(SumOverRanks(plain_bucket.gradients(), collective).ok());
          ASSERT_TRUE(exchange.Backward(LossOf(exchanged, collective.rank() + step)).ok());
          EXPECT_TRUE(torch::equal(bucket.gradients(), plain_bucket.gradients()));
        }
      }
    });
  }
}

TEST(GradientExchange, BeginsTheSumOfTheLastLayersBeforeTheFirstOnesAreMade) {
  Layers layers;
  GradientBucket bucket(layers);
  Twin ranks(layers);
  GradientExchange exchange(bucket, ranks, kSmallParts);
  bucket.ZeroGradients();
  ASSERT_TRUE(exchange.Backward(LossOf(layers, 0)).ok());
  // last, second, first, and what does not decay.
  EXPECT_THAT(ranks.first_layer_was_made, ElementsAre(false, false, true, true));
  ASSERT_EQ(ranks.begun.size(), 4u);
  EXPECT_GT(ranks.begun[0].data(), ranks.begun[1].data());
  EXPECT_GT(ranks.begun[1].data(), ranks.begun[2].data());
  std::size_t elements = 0;
  for (const auto& part : ranks.begun) elements += part.size();
  EXPECT_EQ(elements, static_cast<std::size_t>(bucket.gradients().numel())) << "each element once";
  EXPECT_GT(ranks.advanced, 0);
  EXPECT_EQ(ranks.awaited, 1);
}

TEST(GradientExchange, SumsEveryPartThoughSomeParametersHaveNoGradient) {
  Layers layers;
  GradientBucket bucket(layers);
  Twin ranks(layers);
  GradientExchange exchange(bucket, ranks, kSmallParts);
  bucket.ZeroGradients();
  ASSERT_TRUE(exchange.Backward(layers.first->weight.square().sum()).ok());
  // The last layer's part is never whole, and parts keep their order.
  EXPECT_THAT(ranks.first_layer_was_made, ElementsAre(true, true, true, true));
  EXPECT_TRUE(torch::equal(layers.first->weight.grad(), 4 * layers.first->weight));
}

TEST(GradientExchange, LeavesABackwardAloneThatItWasNotAskedFor) {
  Layers layers;
  GradientBucket bucket(layers);
  Twin ranks(layers);
  {
    GradientExchange exchange(bucket, ranks, kSmallParts);
    bucket.ZeroGradients();
    LossOf(layers, 0).backward();
    EXPECT_EQ(ranks.begun.size(), 0u);
  }
  LossOf(layers, 0).backward();  // its hooks are gone with it
  EXPECT_EQ(ranks.begun.size(), 0u);
}

TEST(GradientExchange, SaysThatAPeerIsGoneAndBeginsNothingMore) {
  Layers layers;
  GradientBucket bucket(layers);
  Twin ranks(layers);
  ranks.refuse_from = 2;
  GradientExchange exchange(bucket, ranks, kSmallParts);
  EXPECT_EQ(ProcessExitCode(exchange.Backward(LossOf(layers, 0))), exit_code::kPeerLost);
  EXPECT_EQ(ranks.begun.size(), 2u);
}

}  // namespace
}  // namespace ferment::worker
