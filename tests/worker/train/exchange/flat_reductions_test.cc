// SPDX-License-Identifier: Apache-2.0
#include "worker/train/exchange/flat_reductions.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <limits>

namespace ferment::worker {
namespace {

/// More than two pieces, and no multiple of what is summed side by side.
constexpr std::int64_t kLong = (std::int64_t{2} << 16) + 21;

TEST(FlatReductions, FindOneNumberThatIsNotFiniteWhereverItIs) {
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    torch::Tensor flat = torch::full({kLong}, std::numeric_limits<float>::max(), type);
    EXPECT_TRUE(AllFinite(flat)) << "the sum of these is not finite in float32, each of them is";
    for (const std::int64_t at : {std::int64_t{0}, std::int64_t{17}, kLong / 2, kLong - 1}) {
      for (const double value : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                                 std::numeric_limits<double>::quiet_NaN()}) {
        flat[at] = value;
        EXPECT_FALSE(AllFinite(flat)) << at;
        flat[at] = 1;
      }
    }
  }
  EXPECT_TRUE(AllFinite(torch::zeros({0})));
}

TEST(FlatReductions, NormIsThatOfFloat64OnAnyNumberOfThreads) {
  torch::manual_seed(1);
  const int before = at::get_num_threads();
  const torch::Tensor flat = torch::randn({kLong}) * 1e20;  // squares beyond float32
  const double expected = flat.to(torch::kFloat64).norm().item<double>();
  at::set_num_threads(1);
  const double alone = Norm(flat);
  EXPECT_NEAR(alone, expected, 1e-12 * expected);
  at::set_num_threads(3);
  EXPECT_EQ(Norm(flat), alone);
  at::set_num_threads(before);
  EXPECT_NEAR(Norm(flat.to(torch::kFloat64)), expected, 1e-12 * expected);
}

}  // namespace
}  // namespace ferment::worker
