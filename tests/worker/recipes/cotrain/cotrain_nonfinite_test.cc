// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <mutex>

#include "tests/support/run_ranks.h"
#include "tests/worker/recipes/cotrain/cotrain_pair.h"

namespace ferment::worker {
namespace {

/// Everything that a step may change, in one row.
torch::Tensor Everything(Pair& pair, const FeedbackBaseline& baseline) {
  std::vector<torch::Tensor> parts = {pair.teacher.sgd.momentum(), pair.student.sgd.momentum(),
                                      torch::full({1}, baseline.value(), torch::kFloat64)};
  for (const auto& net : {pair.teacher.net, pair.student.net, pair.average.net}) {
    for (const torch::Tensor& tensor : net->parameters()) parts.push_back(tensor.flatten().to(torch::kFloat64));
    for (const torch::Tensor& tensor : net->buffers()) parts.push_back(tensor.flatten().to(torch::kFloat64));
  }
  return torch::cat(parts).detach().clone();
}

/// Makes one good step on `count` ranks, then one that `harm` has put something into on the last rank alone, then a
/// good one. The bad one must be told by all ranks and leave nothing behind.
void ExpectUndone(int count, nn::BatchNormMode mode, CotrainRules rules, const CotrainRates& rates,
                  const std::function<void(CotrainBatch&, Pair&)>& harm) {
  std::mutex mutex;
  torch::set_num_threads(1);
  rules.average_statistics = mode == nn::BatchNormMode::kLocal;
  rules.dynamic_threshold = true;
  testing::RunRanks(count, [&](Collective& ranks) {
    std::unique_ptr<Pair> pair;
    std::unique_ptr<World> world;
    {
      const std::lock_guard lock(mutex);
      pair = std::make_unique<Pair>(mode, ranks, SgdOptions{.weight_decay = 1e-3});
      world = std::make_unique<World>(6);
    }
    FeedbackBaseline baseline(true);
    CotrainStep step = pair->Step(baseline, rules);
    constexpr CotrainRates kGood = {.lr_teacher = 0.02, .lr_student = 0.05, .lambda = 0.5, .ema_decay = 0.9};
    const auto good = step.Run(0, world->RowsOf(ranks), kGood);
    ASSERT_TRUE(good) << good.error().ToString();
    ASSERT_TRUE(good->finite);

    const torch::Tensor before = Everything(*pair, baseline);
    const ClassStatus status = step.thresholds().status();
    EXPECT_EQ(status.labelled.size(), static_cast<std::size_t>(kClasses));
    CotrainBatch batch = world->RowsOf(ranks);
    batch.labelled = batch.labelled.clone();
    batch.weak = batch.weak.clone();
    batch.strong = batch.strong.clone();
    if (ranks.rank() == ranks.size() - 1) harm(batch, *pair);
    const torch::Tensor harmed = Everything(*pair, baseline);
    const auto bad = step.Run(1, batch, rates);
    ASSERT_TRUE(bad) << bad.error().ToString();
    EXPECT_FALSE(bad->finite) << "rank " << ranks.rank();
    EXPECT_EQ(bad->baseline_after, bad->baseline_before);
    EXPECT_TRUE(torch::equal(harmed.nan_to_num(-7), Everything(*pair, baseline).nan_to_num(-7)))
        << "rank " << ranks.rank();
    EXPECT_EQ(step.thresholds().status(), status) << "rank " << ranks.rank();
    double still_harmed = torch::equal(before, harmed) ? 0 : 1;
    ASSERT_TRUE(ranks.AllReduceSum(std::span<double>(&still_harmed, 1)).ok());
    if (still_harmed > 0) return;
    const auto next = step.Run(0, world->RowsOf(ranks), kGood);
    ASSERT_TRUE(next) << next.error().ToString();
    EXPECT_TRUE(next->finite) << "rank " << ranks.rank();
  });
}

constexpr CotrainRates kRates = {.lr_teacher = 0.02, .lr_student = 0.05, .lambda = 0.5, .ema_decay = 0.9};
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(CotrainStep, ANanInAnyViewOfOneRankUndoesTheStepOnAll) {
  for (const int ranks : {1, 2}) {
    for (const auto mode : {nn::BatchNormMode::kLocal, nn::BatchNormMode::kSync, nn::BatchNormMode::kFrozen}) {
      for (const auto view : {&CotrainBatch::labelled, &CotrainBatch::weak, &CotrainBatch::strong}) {
        SCOPED_TRACE(::testing::Message() << ranks << " ranks, mode " << static_cast<int>(mode));
        ExpectUndone(ranks, mode, {.tau = 0.7, .threshold = 0.3}, kRates,
                     [&](CotrainBatch& batch, Pair&) { (batch.*view)[0][0][0][0] = kNan; });
      }
    }
  }
}

TEST(CotrainStep, NanLogitsOfTheTeacherUndoTheStepInsteadOfNamingAClassThatDoesNotExist) {
  for (const int ranks : {1, 2}) {
    for (const bool student_mask : {false, true}) {
      ExpectUndone(ranks, nn::BatchNormMode::kFrozen, {.tau = 0.7, .threshold = 0.3, .student_mask = student_mask},
                   kRates, [](CotrainBatch&, Pair& pair) { pair.teacher.bucket.weights()[0] = kNan; });
    }
  }
}

TEST(CotrainStep, NanLogitsOfTheStudentUndoTheStep) {
  for (const int ranks : {1, 2}) {
    for (const auto form : {FeedbackForm::kOff, FeedbackForm::kFirstOrder, FeedbackForm::kCosine}) {
      ExpectUndone(ranks, nn::BatchNormMode::kFrozen, {.tau = 0.7, .form = form}, kRates,
                   [](CotrainBatch&, Pair& pair) { pair.student.bucket.weights()[0] = kNan; });
    }
  }
}

// The losses are finite, 1e7 or so; crediting the teacher with their difference would be the end of it.
TEST(CotrainStep, AStudentThatIsBeyondRecoveryUndoesTheStepThoughItsLossesAreFinite) {
  for (const int ranks : {1, 2}) {
    for (const auto form : {FeedbackForm::kFirstOrder, FeedbackForm::kExact}) {
      ExpectUndone(ranks, nn::BatchNormMode::kFrozen, {.tau = 0.7, .form = form}, kRates,
                   [](CotrainBatch&, Pair& pair) { pair.student.bucket.weights().mul_(1e3); });
    }
  }
}

// Batch statistics of such rows are infinite, while the normalised activations, and with them the losses, are finite.
TEST(CotrainStep, InfiniteStatisticsUndoTheStepThoughLossesAreFinite) {
  for (const int ranks : {1, 2}) {
    for (const auto view : {&CotrainBatch::labelled, &CotrainBatch::strong}) {
      ExpectUndone(ranks, nn::BatchNormMode::kLocal, {.tau = 0.7}, kRates,
                   [&](CotrainBatch& batch, Pair&) { (batch.*view)[0].mul_(1e200); });
    }
  }
}

TEST(CotrainStep, AStepTooLongForTheWeightsIsUndone) {
  for (const auto form : {FeedbackForm::kOff, FeedbackForm::kFirstOrder}) {
    CotrainRates student = kRates;
    student.lr_student = std::numeric_limits<double>::infinity();
    ExpectUndone(2, nn::BatchNormMode::kLocal, {.tau = 0.7, .form = form}, student, [](CotrainBatch&, Pair&) {});
    CotrainRates teacher = kRates;
    teacher.lr_teacher = std::numeric_limits<double>::infinity();
    ExpectUndone(2, nn::BatchNormMode::kLocal, {.tau = 0.7, .form = form}, teacher, [](CotrainBatch&, Pair&) {});
  }
}

TEST(Feedback, AGradientThatIsNoNumberGivesNoNumber) {
  testing::RunRanks(1, [](Collective& ranks) {
    torch::Tensor own = torch::full({4}, kNan);
    const torch::Tensor other = torch::ones({4});
    EXPECT_TRUE(std::isnan(ExactFeedback(1, own, other, ranks).value()));
    EXPECT_TRUE(std::isnan(CosineFeedback(own, other, ranks).value()));
  });
}

}  // namespace
}  // namespace ferment::worker
