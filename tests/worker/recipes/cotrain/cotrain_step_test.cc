// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_step.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "tests/support/run_ranks.h"
#include "tests/worker/recipes/cotrain/cotrain_pair.h"

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
    auto result = pair.Step(baseline, rules).Run(0, world.RowsOf(ranks), rates);
    ASSERT_TRUE(result) << result.error().ToString();
    outcome = *std::move(result);
  });
  return outcome;
}

TEST(CotrainStep, Check1ALearningRateOfZeroFeedsNothingBack) {
  for (const FeedbackForm form : {FeedbackForm::kFirstOrder, FeedbackForm::kExact, FeedbackForm::kCosine}) {
    const CotrainOutcome outcome = RunOnce(World(1), {.tau = 1, .form = form},
                                           {.lr_teacher = 0.1, .lr_student = 0, .lambda = 1, .record = true}, 0.5);
    EXPECT_EQ(outcome.student.old_loss, outcome.student.new_loss);
    EXPECT_GT(outcome.student.old_loss, 0);
    EXPECT_EQ(outcome.student.h_raw, 0);
    EXPECT_EQ(outcome.h, 0);
    EXPECT_EQ(outcome.baseline_after, 0.5);
  }
}

TEST(CotrainStep, SaysWhyFeedbackDidNotReachTheTeacher) {
  const CotrainRates good{.lr_teacher = 0.1, .lr_student = 0.05};
  const auto why = [](const World& world, FeedbackForm form, const CotrainRates& rates) {
    const char* reason = RunOnce(world, {.tau = 1, .form = form}, rates).feedback_dropped;
    return std::string(reason == nullptr ? "" : reason);
  };
  World bad(1);
  bad.strong[0].fill_(std::numeric_limits<float>::quiet_NaN());
  CotrainRates early = good;
  early.feedback_on = false;
  CotrainRates still = good;
  still.lr_student = 0;
  for (const FeedbackForm form : {FeedbackForm::kFirstOrder, FeedbackForm::kExact, FeedbackForm::kCosine}) {
    EXPECT_EQ(why(World(1), form, good), "");
    EXPECT_EQ(why(bad, form, good), "undone");
    EXPECT_EQ(why(World(1), form, early), "before_start");
    EXPECT_EQ(why(World(1), form, still), "no_student_step");
  }
  EXPECT_EQ(why(World(1), FeedbackForm::kOff, still), "") << "nobody wants any";
}

TEST(CotrainStep, Check2FirstOrderApproachesTheExactFormAsTheStepShrinks) {
  double last = std::numeric_limits<double>::infinity();
  for (const double lr : {1e-5, 1e-6, 1e-7}) {
    const CotrainRates rates{.lr_teacher = 0, .lr_student = lr};
    const double first = RunOnce(World(2), {.tau = 1, .form = FeedbackForm::kFirstOrder}, rates).student.h_raw;
    const double exact = RunOnce(World(2), {.tau = 1, .form = FeedbackForm::kExact}, rates).student.h_raw;
    ASSERT_NE(exact, 0);
    const double gap = std::abs(first - exact) / std::abs(exact);
    EXPECT_GT(first * exact, 0) << "lr=" << lr;
    EXPECT_LT(gap, last / 4) << "lr=" << lr;
    last = gap;
  }
  EXPECT_LT(last, 0.01);
}

// The exact form knows the fresh gradient alone; what was learnt from is the step with its momentum.
TEST(CotrainStep, Check2UnderMomentumFirstOrderScoresTheStepThatWasMade) {
  torch::set_num_threads(1);
  struct Scores {
    double h, moved;
  };
  const auto score = [](FeedbackForm form, double lr) {
    Scores scores;
    testing::RunRanks(1, [&](Collective& ranks) {
      Pair pair(nn::BatchNormMode::kLocal, ranks, {.momentum = 0.9, .nesterov = false});
      FeedbackBaseline baseline(false);
      CotrainStep step = pair.Step(baseline, {.tau = 1, .form = form});
      const CotrainRates rates{.lr_teacher = 0, .lr_student = lr};
      ASSERT_TRUE(step.Run(0, World(2).RowsOf(ranks), rates));
      const std::vector<torch::Tensor> weights = pair.student.net->parameters();
      std::vector<torch::Tensor> before;
      for (const torch::Tensor& weight : weights) before.push_back(weight.detach().clone());
      const World world(3);
      const auto outcome = step.Run(1, world.RowsOf(ranks), rates);
      ASSERT_TRUE(outcome) << outcome.error().ToString();
      pair.student.net->eval();
      const torch::Tensor loss =
          CrossEntropySum(pair.student.net->forward(world.labelled), world.labels, 0) / kLabelled;
      const auto gradients = torch::autograd::grad({loss}, weights);
      scores = {outcome->student.h_raw, 0};
      for (std::size_t i = 0; i < weights.size(); ++i)
        scores.moved += (gradients[i] * (before[i] - weights[i].detach())).sum().item<double>();
    });
    return scores;
  };
  double last = std::numeric_limits<double>::infinity();
  for (const double lr : {1e-5, 1e-6, 1e-7}) {
    const Scores first = score(FeedbackForm::kFirstOrder, lr);
    const double fresh = score(FeedbackForm::kExact, lr).h;
    ASSERT_NE(first.moved, 0);
    const double gap = std::abs(first.h - first.moved) / std::abs(first.moved);
    EXPECT_GT(first.h * first.moved, 0) << "lr=" << lr;
    EXPECT_LT(gap, last / 4) << "lr=" << lr;
    EXPECT_GT(std::abs(first.h - fresh) / std::abs(first.h), 0.2) << "lr=" << lr;
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
      CotrainStep step = pair.Step(baseline, {.tau = 1});
      for (std::uint64_t s = 0; s < 40; ++s) {
        World world(100 + s);
        world.offline = correct ? world.truth : (world.truth + 1) % kClasses;
        const auto outcome = step.Run(s, world.RowsOf(ranks), {.lr_teacher = 0.01, .lr_student = 0.02});
        ASSERT_TRUE(outcome);
        if (s >= 20) sum += outcome->student.h_raw / 20;
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
      CotrainStep step = pair.Step(baseline, {.tau = 1});
      const CotrainBatch batch = world.RowsOf(ranks);
      const auto believed = [&](const torch::Tensor& label) {
        torch::NoGradGuard no_grad;
        return -CrossEntropySum(pair.teacher.net->forward(batch.weak), label, 0).item<double>();
      };
      const torch::Tensor label =
          LabelWeakViews(pair.teacher.net->forward(batch.weak), 1, std::vector<double>(kClasses)).label;
      const double before = believed(label);
      const auto outcome = step.Run(0, batch, {.lr_teacher = 1e-9, .lr_student = 1e-3});
      ASSERT_TRUE(outcome);
      EXPECT_GT(outcome->h * sign, 0);
      EXPECT_GT((believed(label) - before) * sign, 0);
    });
  }
}

TEST(CotrainStep, ClassThresholdsAreThoseOfTheStepsBefore) {
  testing::RunRanks(1, [](Collective& ranks) {
    Pair pair(nn::BatchNormMode::kFrozen, ranks, kPlain);
    FeedbackBaseline baseline(true);
    const World world(4);
    CotrainStep step = pair.Step(baseline, {.tau = 0.5, .threshold = 0.4, .dynamic_threshold = true});
    ClassThresholds expected(0.4, /*dynamic=*/true);
    bool moved = false;
    for (std::uint64_t s = 0; s < 3; ++s) {
      const auto outcome = step.Run(s, world.RowsOf(ranks), {.lr_teacher = 0.1, .lr_student = 0.01});
      ASSERT_TRUE(outcome);
      EXPECT_EQ(outcome->thresholds, expected.Of(kClasses)) << "step " << s;
      EXPECT_EQ(outcome->status_before, expected.status()) << "step " << s;
      moved = moved || outcome->thresholds != std::vector<double>(kClasses, 0.4);
      const torch::Tensor limits = torch::tensor(outcome->thresholds, torch::kFloat64);
      const torch::Tensor mask = outcome->pseudo.confidence >= limits.index_select(0, outcome->pseudo.label);
      EXPECT_TRUE(torch::equal(mask.to(torch::kFloat64), outcome->pseudo.mask)) << "step " << s;
      EXPECT_EQ(outcome->teacher.accepted, mask.sum().item<double>());

      const torch::Tensor counts = CountLabels(outcome->pseudo, 0.4);
      EXPECT_EQ(counts[0].sum().item<double>(), kUnlabelled);
      const auto row = [&](int i) {
        return std::vector<double>(counts[i].data_ptr<double>(), counts[i].data_ptr<double>() + kClasses);
      };
      expected.Observe(row(0), row(1), kUnlabelled);
      EXPECT_EQ(outcome->status_after, expected.status()) << "step " << s;
    }
    EXPECT_TRUE(moved);
  });
}

TEST(CotrainStep, InBFloat16TheScoresAndTheWeightsStayFloat32) {
  struct Made {
    double loss, old_loss, new_loss;
    torch::Tensor weights;
  };
  const auto make = [](bool in_bfloat16, double lr) {
    Made made;
    testing::RunRanks(1, [&](Collective& ranks) {
      Pair pair(nn::BatchNormMode::kFrozen, ranks, kPlain, 0, torch::kFloat32);
      FeedbackBaseline baseline(false);
      CotrainStep step = pair.Step(baseline, {.tau = 1, .in_bfloat16 = in_bfloat16});
      const auto outcome =
          step.Run(0, World(6).As(torch::kFloat32).RowsOf(ranks), {.lr_teacher = 0, .lr_student = lr, .record = true});
      ASSERT_TRUE(outcome);
      ASSERT_EQ(pair.student.bucket.weights().scalar_type(), torch::kFloat32);
      made = {outcome->student.loss, outcome->student.old_loss, outcome->student.new_loss,
              pair.student.bucket.weights().clone()};
    });
    return made;
  };
  const Made narrow = make(true, 0.1), whole = make(false, 0.1);
  EXPECT_NE(narrow.loss, whole.loss);
  EXPECT_NEAR(narrow.loss, whole.loss, 0.02 * whole.loss);
  EXPECT_EQ(narrow.old_loss, whole.old_loss);
  EXPECT_NE(narrow.new_loss, whole.new_loss);
  // A step far below what eight bits of a weight can hold.
  const Made still = make(true, 0), moved = make(true, 1e-6);
  EXPECT_EQ(still.old_loss, still.new_loss);
  EXPECT_GT((moved.weights != still.weights).sum().item<std::int64_t>(), still.weights.numel() / 100);
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
