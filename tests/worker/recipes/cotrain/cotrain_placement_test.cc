// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_placement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <mutex>

#include "tests/support/run_ranks.h"
#include "tests/worker/recipes/cotrain/cotrain_pair.h"

namespace ferment::worker {
namespace {

constexpr int kSteps = 3;
constexpr SgdOptions kOptimizer = {.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3, .grad_clip = 1};
constexpr CotrainRates kRates = {.lr_teacher = 0.02, .lr_student = 0.05, .lambda = 0.5, .ema_decay = 0.9};

/// Ranks of both networks; no student's ranks: colocated.
struct Groups {
  int teacher = 1;
  int student = 0;

  int all() const { return teacher + student; }
};

/// What three steps made of the numbers and of the networks.
struct Made {
  std::vector<bool> finite;
  std::vector<double> numbers;
  torch::Tensor teacher;
  torch::Tensor student;
  torch::Tensor moved;  // all weights of rank 0's networks, by what the steps added
  ClassStatus status;
};

CotrainPlacement Place(Collective& world, const Groups& groups) {
  if (groups.student == 0) return CotrainPlacement(world);
  auto placement = CotrainPlacement::Split(world, groups.teacher);
  EXPECT_TRUE(placement) << placement.error().ToString();
  return *std::move(placement);
}

/// Every rank's numbers must be the same bits.
void ExpectAgreement(const std::vector<double>& mine, Collective& world) {
  std::vector<std::byte> all(mine.size() * sizeof(double) * static_cast<std::size_t>(world.size()));
  const auto bytes = std::as_bytes(std::span<const double>(mine));
  ASSERT_TRUE(world.AllGather(bytes, all).ok());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], bytes[i % bytes.size()]);
}

Made MakeSteps(const Groups& groups, nn::BatchNormMode mode, CotrainRules rules,
               const std::function<void(int step, CotrainBatch&, Collective&)>& change = nullptr,
               torch::Dtype dtype = torch::kFloat64) {
  Made made;
  std::mutex mutex;
  torch::set_num_threads(1);
  rules.average_statistics = mode == nn::BatchNormMode::kLocal;
  testing::RunRanks(groups.all(), [&](Collective& world) {
    CotrainPlacement placement = Place(world, groups);
    std::unique_ptr<Pair> pair;
    std::unique_ptr<World> faces;
    {
      const std::lock_guard lock(mutex);  // the generator that both draw from is the process's
      pair = std::make_unique<Pair>(mode, std::move(placement), kOptimizer, 0, dtype);
      faces = std::make_unique<World>(World(5).As(dtype));
    }
    const auto weights = [&] { return torch::cat({pair->teacher.bucket.weights(), pair->student.bucket.weights()}); };
    const torch::Tensor first_weights = weights().clone();
    FeedbackBaseline baseline(true);
    CotrainStep step = pair->Step(baseline, rules);
    std::vector<double> mine;
    std::vector<bool> finite;
    for (int s = 0; s < kSteps; ++s) {
      CotrainBatch batch = faces->RowsOf(pair->placement.group());
      if (change) change(s, batch, world);
      const auto outcome = step.Run(static_cast<std::uint64_t>(s), batch, kRates);
      ASSERT_TRUE(outcome) << outcome.error().ToString();
      const TeacherFigures& teacher = outcome->teacher;
      const StudentFigures& student = outcome->student;
      finite.push_back(outcome->finite);
      mine.insert(mine.end(), {outcome->finite ? 1.0 : 0.0, outcome->h, outcome->baseline_after});
      if (outcome->finite) {
        mine.insert(mine.end(), {teacher.loss_labelled, teacher.loss_unlabelled, teacher.feedback_loss, teacher.loss,
                                 teacher.accepted, teacher.grad_norm, student.loss, student.old_loss, student.new_loss,
                                 student.h_raw, student.grad_norm});
      }
    }
    ExpectAgreement(mine, world);
    const std::lock_guard lock(mutex);
    made.numbers = mine;
    made.finite = finite;
    if (world.rank() == 0) made.moved = weights() - first_weights;
    if (pair->placement.teaches()) made.status = step.thresholds().status();
    if (pair->placement.teaches())
      made.teacher = torch::cat({pair->teacher.bucket.weights(), pair->teacher.sgd.momentum()}).clone();
    if (pair->placement.learns()) {
      made.student = torch::cat({pair->student.bucket.weights(), pair->student.sgd.momentum(),
                                 pair->average.bucket.weights(), pair->average.statistics.statistics()})
                         .clone();
    }
  });
  return made;
}

void ExpectSame(const Made& one, const Made& other) {
  ASSERT_EQ(one.numbers.size(), other.numbers.size());
  for (std::size_t i = 0; i < one.numbers.size(); ++i)
    EXPECT_NEAR(one.numbers[i], other.numbers[i], 1e-9 * (1 + std::abs(one.numbers[i]))) << "number " << i;
  EXPECT_TRUE(torch::allclose(one.teacher, other.teacher, 1e-8, 1e-10));
  EXPECT_TRUE(torch::allclose(one.student, other.student, 1e-8, 1e-10));
  EXPECT_EQ(one.status, other.status);
}

TEST(CotrainPlacement, Check5ComputesWhatOneRankComputesOnAnyRanks) {
  for (const nn::BatchNormMode mode : {nn::BatchNormMode::kSync, nn::BatchNormMode::kFrozen}) {
    for (const FeedbackForm form : {FeedbackForm::kFirstOrder, FeedbackForm::kExact, FeedbackForm::kCosine}) {
      const CotrainRules rules = {
          .tau = 0.7, .threshold = 0.3, .label_smoothing = 0.1, .student_mask = true, .form = form};
      const Made alone = MakeSteps({.teacher = 1}, mode, rules);
      for (const Groups& groups :
           {Groups{2, 0}, Groups{3, 0}, Groups{1, 1}, Groups{2, 1}, Groups{1, 2}, Groups{2, 2}}) {
        SCOPED_TRACE(::testing::Message() << groups.teacher << " + " << groups.student << " ranks, mode "
                                          << static_cast<int>(mode) << ", form " << static_cast<int>(form));
        ExpectSame(alone, MakeSteps(groups, mode, rules));
      }
    }
  }
}

// To what docs/method.md allows a float32 step: losses of the first, whose inputs are the same bits, and all updates.
TEST(CotrainPlacement, Check5HoldsInFloat32ToItsTolerance) {
  constexpr std::size_t kH = 1, kBaseline = 2, kFeedbackLoss = 5, kAccepted = 7, kTeacherNorm = 8, kHRaw = 12,
                        kStudentNorm = 13;
  for (const nn::BatchNormMode mode : {nn::BatchNormMode::kSync, nn::BatchNormMode::kFrozen}) {
    const CotrainRules rules = {.tau = 0.7, .threshold = 0.3, .label_smoothing = 0.1, .student_mask = true};
    const Made alone = MakeSteps({1, 0}, mode, rules, nullptr, torch::kFloat32);
    for (const int ranks : {2, 3}) {
      SCOPED_TRACE(::testing::Message() << ranks << " ranks, mode " << static_cast<int>(mode));
      const Made made = MakeSteps({ranks, 0}, mode, rules, nullptr, torch::kFloat32);
      ASSERT_EQ(made.finite, alone.finite);
      ASSERT_EQ(made.numbers.size(), kSteps * (kStudentNorm + 1));
      const double old_loss = alone.numbers[10];
      for (std::size_t i = 0; i <= kStudentNorm; ++i) {
        const bool difference = i == kH || i == kBaseline || i == kFeedbackLoss || i == kHRaw;  // of two losses
        const bool norm = i == kTeacherNorm || i == kStudentNorm;
        const double allowed = i == kAccepted ? 0
                               : difference   ? 2e-5 * old_loss
                                              : (norm ? 0.1 : 2e-5) * std::abs(alone.numbers[i]);
        EXPECT_NEAR(made.numbers[i], alone.numbers[i], allowed) << "number " << i;
      }
      EXPECT_LE((made.moved - alone.moved).norm().item<double>(), 0.1 * alone.moved.norm().item<double>());
    }
  }
}

TEST(CotrainPlacement, ClassThresholdsAreTheSameOnAnyRanksAndInBothPlacements) {
  for (const bool late : {false, true}) {
    CotrainRules rules = {.tau = 0.5, .threshold = 0.4, .dynamic_threshold = true, .student_mask = true};
    rules.late_feedback = late;
    const Made least = MakeSteps(late ? Groups{1, 1} : Groups{1, 0}, nn::BatchNormMode::kSync, rules);
    EXPECT_EQ(least.status.labelled.size(), static_cast<std::size_t>(kClasses));
    EXPECT_NE(least.status.labelled, least.status.confident);
    for (const Groups& groups : {Groups{2, 0}, Groups{3, 0}, Groups{1, 1}, Groups{2, 1}, Groups{1, 2}}) {
      if (late && groups.student == 0) continue;
      SCOPED_TRACE(::testing::Message() << groups.teacher << " + " << groups.student << " ranks, late " << late);
      ExpectSame(least, MakeSteps(groups, nn::BatchNormMode::kSync, rules));
    }
  }
}

TEST(CotrainPlacement, ANanOfOneRankUndoesTheStepInBothGroups) {
  for (const auto view : {&CotrainBatch::labelled, &CotrainBatch::weak, &CotrainBatch::strong}) {
    for (const int harmed : {0, 1, 2, 3}) {
      if (harmed >= 2 && view == &CotrainBatch::weak) continue;  // a student does not look at it
      for (const bool late : {false, true}) {
        SCOPED_TRACE(::testing::Message() << "rank " << harmed << " late " << late);
        const CotrainRules rules = {.tau = 0.7, .threshold = 0.3, .late_feedback = late};
        const auto harm = [&](int step, CotrainBatch& batch, Collective& world) {
          if (step != 1 || world.rank() != harmed) return;
          batch.*view = (batch.*view).clone();
          (batch.*view)[0][0][0][0] = std::numeric_limits<double>::quiet_NaN();
        };
        const Made made = MakeSteps({2, 2}, nn::BatchNormMode::kLocal, rules, harm);
        EXPECT_TRUE(torch::isfinite(made.teacher).all().item<bool>());
        EXPECT_TRUE(torch::isfinite(made.student).all().item<bool>());
        EXPECT_EQ(made.finite, (std::vector<bool>{true, false, true}));
      }
    }
  }
}

TEST(CotrainPlacement, LateFeedbackComputesTheSameOnAnyGroups) {
  for (const bool strong : {false, true}) {
    const CotrainRules rules = {.tau = 0.7, .threshold = 0.3, .credit_strong_view = strong, .late_feedback = true};
    const Made least = MakeSteps({1, 1}, nn::BatchNormMode::kSync, rules);
    for (const Groups& groups : {Groups{2, 1}, Groups{1, 2}, Groups{2, 2}}) {
      SCOPED_TRACE(::testing::Message() << groups.teacher << " + " << groups.student << " strong " << strong);
      ExpectSame(least, MakeSteps(groups, nn::BatchNormMode::kSync, rules));
    }
  }
}

TEST(CotrainPlacement, LateFeedbackCreditsTheLabelsOfTheStepBefore) {
  testing::RunRanks(2, [](Collective& world) {
    const auto rank = SplitRank::Make(world, 1, nn::BatchNormMode::kFrozen, kOptimizer);
    FeedbackBaseline baseline(true);
    CotrainStep step = rank->pair.Step(baseline, {.tau = 0.7, .late_feedback = true});
    const auto one = step.Run(0, rank->first.RowsOf(rank->group()), kRates);
    ASSERT_TRUE(one);
    EXPECT_EQ(one->teacher.feedback_loss, 0);
    EXPECT_NE(one->h, 0);
    double expected = 0;
    if (rank->teaches()) {
      torch::NoGradGuard no_grad;
      const torch::Tensor logits = rank->pair.teacher.net->forward(rank->first.weak);
      expected = one->h * CrossEntropySum(logits, one->labels.label, 0).item<double>() / kUnlabelled;
    }
    const auto two = step.Run(1, rank->second.RowsOf(rank->group()), kRates);
    ASSERT_TRUE(two);
    if (rank->teaches()) {
      EXPECT_NEAR(two->teacher.feedback_loss, expected, 1e-9 * std::abs(expected));
    }
    ASSERT_TRUE(step.pending().has_value());
    EXPECT_EQ(step.pending()->step, 1U);
    EXPECT_EQ(step.pending()->credit.h, two->h);
  });
}

TEST(CotrainPlacement, RefusesAWorldOfAnotherSizeThanTheGroups) {
  v1::CotrainSpec cotrain;
  cotrain.set_placement("split");
  cotrain.set_batch(8);
  cotrain.mutable_placement_ranks()->set_teacher(2);
  cotrain.mutable_placement_ranks()->set_student(2);
  testing::RunRanks(3, [&](Collective& world) {
    const auto placement = CotrainPlacement::Make(cotrain, world);
    ASSERT_FALSE(placement);
    EXPECT_EQ(placement.error().exit_code(), exit_code::kBadSpec);
    EXPECT_NE(placement.error().message().find("teacher=2 student=2 ranks=3"), std::string::npos);
  });
}

}  // namespace
}  // namespace ferment::worker
