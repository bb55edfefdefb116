// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain_step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <mutex>

#include "tests/support/run_ranks.h"
#include "tests/worker/recipes/cotrain_pair.h"

namespace ferment::worker {
namespace {

constexpr SgdOptions kPlain = {.momentum = 0, .nesterov = false};

CotrainOutcome RunOnce(const World& world, const CotrainRules& rules, const CotrainRates& rates,
                       double baseline_value = 0) {
  CotrainOutcome outcome;
  testing::RunRanks(1, [&](Collective& ranks) {
    Pair pair(nn::BatchNormMode::kLocal, ranks, kPlain);
    FeedbackBaseline baseline(baseline_value != 0);
    baseline.set_value(baseline_value);
    auto result =
        CotrainStep(pair.teacher, pair.student, pair.average, baseline, rules, ranks).Run(world.RowsOf(ranks), rates);
    ASSERT_TRUE(result) << result.error().ToString();
    outcome = *std::move(result);
  });
  return outcome;
}

TEST(CotrainStep, Check1ALearningRateOfZeroFeedsNothingBack) {
  for (const FeedbackForm form : {FeedbackForm::kFirstOrder, FeedbackForm::kExact, FeedbackForm::kCosine}) {
    const CotrainOutcome outcome = RunOnce(World(1), {.tau = 1, .form = form},
                                           {.lr_teacher = 0.1, .lr_student = 0, .lambda = 1, .record = true}, 0.5);
    EXPECT_EQ(outcome.old_loss, outcome.new_loss);
    EXPECT_GT(outcome.old_loss, 0);
    EXPECT_EQ(outcome.h_raw, 0);
    EXPECT_EQ(outcome.h, 0);
    EXPECT_EQ(outcome.baseline_after, 0.5);
  }
}

TEST(CotrainStep, Check2FirstOrderApproachesTheExactFormAsTheStepShrinks) {
  double last = std::numeric_limits<double>::infinity();
  for (const double lr : {1e-5, 1e-6, 1e-7}) {
    const CotrainRates rates{.lr_teacher = 0, .lr_student = lr};
    const double first = RunOnce(World(2), {.tau = 1, .form = FeedbackForm::kFirstOrder}, rates).h_raw;
    const double exact = RunOnce(World(2), {.tau = 1, .form = FeedbackForm::kExact}, rates).h_raw;
    ASSERT_NE(exact, 0);
    const double gap = std::abs(first - exact) / std::abs(exact);
    EXPECT_GT(first * exact, 0) << "lr=" << lr;
    EXPECT_LT(gap, last / 4) << "lr=" << lr;
    last = gap;
  }
  EXPECT_LT(last, 0.01);
}

TEST(CotrainStep, Check3CorrectLabelsHelpMoreThanPermutedOnes) {
  const auto mean_h = [](bool correct) {
    double sum = 0;
    testing::RunRanks(1, [&](Collective& ranks) {
      Pair pair(nn::BatchNormMode::kLocal, ranks, kPlain);
      FeedbackBaseline baseline(false);
      CotrainStep step(pair.teacher, pair.student, pair.average, baseline, {.tau = 1}, ranks);
      for (std::uint64_t s = 0; s < 40; ++s) {
        World world(100 + s);
        world.offline = correct ? world.truth : (world.truth + 1) % kClasses;
        const auto outcome = step.Run(world.RowsOf(ranks), {.lr_teacher = 0.01, .lr_student = 0.02});
        ASSERT_TRUE(outcome);
        if (s >= 20) sum += outcome->h_raw / 20;
      }
    });
    return sum;
  };
  const double right = mean_h(true);
  const double wrong = mean_h(false);
  EXPECT_GT(right, 0);
  EXPECT_LT(wrong, right);
  EXPECT_LT(wrong, 0);
}

TEST(CotrainStep, Check3TheTeacherBelievesMoreInWhatHelped) {
  const World world(4);
  for (const double sign : {1.0, -1.0}) {
    testing::RunRanks(1, [&](Collective& ranks) {
      Pair pair(nn::BatchNormMode::kFrozen, ranks, kPlain);
      FeedbackBaseline baseline(true);
      baseline.set_value(-sign * 1e6);  // h is then about sign * 1e6, and the other terms are nothing beside it
      CotrainStep step(pair.teacher, pair.student, pair.average, baseline, {.tau = 1}, ranks);
      const CotrainBatch batch = world.RowsOf(ranks);
      const auto believed = [&](const torch::Tensor& label) {
        torch::NoGradGuard no_grad;
        return -CrossEntropySum(pair.teacher.net->forward(batch.weak), label, 0).item<double>();
      };
      const torch::Tensor label = LabelWeakViews(pair.teacher.net->forward(batch.weak), 1, 0).label;
      const double before = believed(label);
      const auto outcome = step.Run(batch, {.lr_teacher = 1e-9, .lr_student = 1e-3});
      ASSERT_TRUE(outcome);
      EXPECT_GT(outcome->h * sign, 0);
      EXPECT_GT((believed(label) - before) * sign, 0);
    });
  }
}

TEST(CotrainStep, Check5SeveralRanksComputeWhatOneComputes) {
  for (const nn::BatchNormMode mode : {nn::BatchNormMode::kSync, nn::BatchNormMode::kFrozen}) {
    for (const FeedbackForm form : {FeedbackForm::kFirstOrder, FeedbackForm::kExact, FeedbackForm::kCosine}) {
      std::vector<double> numbers[2];
      torch::Tensor weights[2];
      for (const int ranks_count : {1, 2}) {
        std::mutex mutex;
        testing::RunRanks(ranks_count, [&](Collective& ranks) {
          std::unique_ptr<Pair> pair;
          std::unique_ptr<World> world;
          {
            const std::lock_guard lock(mutex);  // the generator that both draw from is the process's
            pair = std::make_unique<Pair>(
                mode, ranks, SgdOptions{.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3, .grad_clip = 1});
            world = std::make_unique<World>(5);
          }
          FeedbackBaseline baseline(true);
          CotrainStep step(
              pair->teacher, pair->student, pair->average, baseline,
              {.tau = 0.7, .threshold = 0.3, .label_smoothing = 0.1, .form = form, .average_statistics = false}, ranks);
          std::vector<double> mine;
          for (int s = 0; s < 3; ++s) {
            const auto outcome = step.Run(world->RowsOf(ranks),
                                          {.lr_teacher = 0.02, .lr_student = 0.05, .lambda = 0.5, .ema_decay = 0.9});
            ASSERT_TRUE(outcome) << outcome.error().ToString();
            for (const double value :
                 {outcome->loss_labelled, outcome->loss_unlabelled, outcome->student_loss, outcome->h_raw, outcome->h,
                  outcome->baseline_after, outcome->teacher_loss, outcome->accepted}) {
              mine.push_back(value);
            }
          }
          // Every rank holds the same h, to the bit.
          std::vector<std::byte> all(mine.size() * sizeof(double) * static_cast<std::size_t>(ranks.size()));
          const auto bytes = std::as_bytes(std::span<const double>(mine));
          ASSERT_TRUE(ranks.AllGather(bytes, all).ok());
          for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], bytes[i % bytes.size()]);
          if (ranks.rank() > 0) return;
          numbers[ranks_count - 1] = mine;
          weights[ranks_count - 1] = torch::cat({pair->teacher.bucket.weights(), pair->student.bucket.weights(),
                                                 pair->average.bucket.weights(), pair->average.statistics.statistics()})
                                         .clone();
        });
      }
      ASSERT_EQ(numbers[0].size(), numbers[1].size());
      for (std::size_t i = 0; i < numbers[0].size(); ++i) {
        EXPECT_NEAR(numbers[0][i], numbers[1][i], 1e-9 * (1 + std::abs(numbers[0][i])))
            << "number " << i << " form " << static_cast<int>(form);
      }
      EXPECT_TRUE(torch::allclose(weights[0], weights[1], 1e-8, 1e-10));
    }
  }
}

TEST(Ema, AveragesWeightsAndStatisticsAndCopiesTheCount) {
  testing::RunRanks(1, [](Collective& ranks) {
    Pair pair(nn::BatchNormMode::kLocal, ranks, kPlain, /*student_stream=*/1);
    pair.student.bucket.weights().fill_(3);
    pair.student.statistics.statistics().fill_(5);
    const torch::Tensor weights = pair.average.bucket.weights().clone();
    const torch::Tensor statistics = pair.average.statistics.statistics().clone();
    pair.student.net->train();
    pair.average.MoveTowards(pair.student, 0.75);
    EXPECT_TRUE(torch::allclose(pair.average.bucket.weights(), 0.75 * weights + 0.75));
    EXPECT_TRUE(torch::allclose(pair.average.statistics.statistics(), 0.75 * statistics + 1.25));
  });
}

}  // namespace
}  // namespace ferment::worker
