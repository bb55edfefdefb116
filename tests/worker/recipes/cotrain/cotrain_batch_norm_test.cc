// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

#include "tests/support/run_ranks.h"
#include "tests/worker/recipes/cotrain/cotrain_pair.h"

namespace ferment::worker {
namespace {

constexpr SgdOptions kPlain = {.momentum = 0, .nesterov = false};
constexpr CotrainRates kRates = {.lr_teacher = 0.02, .lr_student = 0.05, .lambda = 0.5, .ema_decay = 0.9};
constexpr CotrainRules kRules = {.tau = 0.7, .threshold = 0.3, .label_smoothing = 0.1};

using Tensors = std::vector<torch::Tensor>;

/// What one step made.
struct Made {
  double loss_labelled = 0, loss_unlabelled = 0, feedback_loss = 0, teacher_norm = 0;
  double student_loss = 0, old_loss = 0, new_loss = 0, h = 0, student_norm = 0;
  /// Parameters and statistics.
  Tensors teacher, student;

  std::vector<double> Numbers() const {
    return {loss_labelled, loss_unlabelled, feedback_loss, teacher_norm, student_loss, old_loss, new_loss, h,
            student_norm};
  }
};

Tensors StateOf(const nn::Backbone& net) {
  Tensors state;
  for (const torch::Tensor& tensor : net.parameters()) state.push_back(tensor.detach().clone());
  for (const torch::Tensor& tensor : net.buffers()) state.push_back(tensor.clone());
  return state;
}

Made StepOnRanks(int ranks, nn::BatchNormMode mode, CotrainRules rules, const World& faces) {
  Made made;
  std::mutex mutex;
  rules.average_statistics = mode == nn::BatchNormMode::kLocal;
  testing::RunRanks(ranks, [&](Collective& world) {
    std::unique_ptr<Pair> pair;
    {
      const std::lock_guard lock(mutex);  // the generator that the networks draw from is the process's
      pair = std::make_unique<Pair>(mode, world, kPlain);
    }
    FeedbackBaseline baseline(false);
    const auto outcome = pair->Step(baseline, rules).Run(0, faces.RowsOf(world), kRates);
    ASSERT_TRUE(outcome) << outcome.error().ToString();
    if (world.rank() != 0) return;
    const TeacherFigures& teacher = outcome->teacher;
    const StudentFigures& student = outcome->student;
    made = {teacher.loss_labelled,
            teacher.loss_unlabelled,
            teacher.feedback_loss,
            teacher.grad_norm,
            student.loss,
            student.old_loss,
            student.new_loss,
            outcome->h,
            student.grad_norm,
            StateOf(*pair->teacher.net),
            StateOf(*pair->student.net)};
  });
  return made;
}

/// One network a part of the batch, which normalises by that part alone, and what becomes of them together.
class PartedNetwork {
 public:
  PartedNetwork(Pair& pair, int parts) {
    for (int part = 0; part < parts; ++part) {
      nets_.push_back(pair.Make(nn::BatchNormMode::kLocal, 0));
      nets_.back()->train();
    }
  }
  nn::Backbone& Of(int part) { return *nets_[static_cast<std::size_t>(part)]; }

  /// Every part's statistics become their mean.
  void JoinStatistics() {
    torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < nets_[0]->buffers().size(); ++i) {
      if (!nets_[0]->buffers()[i].is_floating_point()) continue;
      Tensors all;
      for (const auto& net : nets_) all.push_back(net->buffers()[i]);
      const torch::Tensor mean = torch::stack(all).mean(0);
      for (const torch::Tensor& own : all) own.copy_(mean);
    }
  }
  /// Returns: the norm of the gradients' sum, by which every part's weights have moved.
  double Descend(double lr) {
    torch::NoGradGuard no_grad;
    double squares = 0;
    for (std::size_t i = 0; i < nets_[0]->parameters().size(); ++i) {
      torch::Tensor sum = torch::zeros_like(nets_[0]->parameters()[i]);
      for (const auto& net : nets_) sum += net->parameters()[i].grad();
      for (const auto& net : nets_) net->parameters()[i].sub_(lr * sum);
      squares += sum.square().sum().item<double>();
    }
    return std::sqrt(squares);
  }
  /// Returns: the mean loss of the whole batch in evaluation mode.
  double Score(const World& faces) {
    torch::NoGradGuard no_grad;
    nets_[0]->eval();
    return CrossEntropySum(nets_[0]->forward(faces.labelled), faces.labels, 0).item<double>() / kLabelled;
  }

 private:
  std::vector<std::shared_ptr<nn::Backbone>> nets_;
};

Made StepByHand(int parts, const World& faces) {
  Made made;
  testing::RunRanks(1, [&](Collective& alone) {
    Pair pair(nn::BatchNormMode::kLocal, alone, kPlain);
    PartedNetwork teacher(pair, parts), student(pair, parts);
    Tensors losses, feedback;
    testing::RunRanks(parts, [&](Collective& part) {
      static std::mutex mutex;
      const std::lock_guard lock(mutex);
      const CotrainBatch rows = faces.RowsOf(part);
      const auto logits = teacher.Of(part.rank())
                              .forward(torch::cat({rows.labelled, rows.weak, rows.strong}))
                              .split_with_sizes({rows.labelled.size(0), rows.weak.size(0), rows.strong.size(0)});
      const PseudoLabels pseudo =
          LabelWeakViews(logits[1], kRules.tau, std::vector<double>(kClasses, kRules.threshold));
      const torch::Tensor labelled = CrossEntropySum(logits[0], rows.labels, kRules.label_smoothing) / kLabelled;
      const torch::Tensor unlabelled = ConsistencySum(pseudo.probabilities, pseudo.mask, logits[2]) / kUnlabelled;
      losses.push_back(labelled + kRates.lambda * unlabelled);
      feedback.push_back(CrossEntropySum(logits[1], pseudo.label, 0) / kUnlabelled);
      made.loss_labelled += labelled.item<double>();
      made.loss_unlabelled += unlabelled.item<double>();
      const torch::Tensor loss =
          CrossEntropySum(student.Of(part.rank()).forward(rows.strong), pseudo.label, kRules.label_smoothing) /
          kUnlabelled;
      made.student_loss += loss.item<double>();
      loss.backward();
    });
    student.JoinStatistics();
    made.old_loss = student.Score(faces);
    made.student_norm = student.Descend(kRates.lr_student);
    made.new_loss = student.Score(faces);
    made.h = made.old_loss - made.new_loss;
    for (std::size_t part = 0; part < losses.size(); ++part) {
      made.feedback_loss += made.h * feedback[part].item<double>();
      (losses[part] + made.h * feedback[part]).backward();
    }
    teacher.JoinStatistics();
    made.teacher_norm = teacher.Descend(kRates.lr_teacher);
    made.teacher = StateOf(teacher.Of(0));
    made.student = StateOf(student.Of(0));
  });
  return made;
}

void ExpectSame(const Made& one, const Made& other) {
  for (std::size_t i = 0; i < one.Numbers().size(); ++i) {
    EXPECT_NE(one.Numbers()[i], 0) << "number " << i;
    EXPECT_NEAR(one.Numbers()[i], other.Numbers()[i], 1e-10 * std::abs(one.Numbers()[i])) << "number " << i;
  }
  for (const auto& [mine, others] : {std::pair(&one.teacher, &other.teacher), {&one.student, &other.student}}) {
    ASSERT_EQ(mine->size(), others->size());
    for (std::size_t i = 0; i < mine->size(); ++i)
      EXPECT_TRUE(torch::allclose((*mine)[i], (*others)[i], 1e-10, 1e-12)) << "tensor " << i;
  }
}

TEST(CotrainBatchNorm, LocalRanksComputeWhatANetworkForEachRanksRowsComputes) {
  torch::set_num_threads(1);
  const World faces(5);
  for (const int ranks : {1, 2, 3}) {
    SCOPED_TRACE(ranks);
    ExpectSame(StepByHand(ranks, faces), StepOnRanks(ranks, nn::BatchNormMode::kLocal, kRules, faces));
  }
}

TEST(CotrainBatchNorm, FrozenStatisticsLeaveABatchNoneOfItsOwnToBeScoredUnder) {
  torch::set_num_threads(1);
  const World faces(5);
  CotrainRules batch = kRules;
  batch.batch_statistics = true;
  const auto numbers = [&](nn::BatchNormMode mode, const CotrainRules& rules) {
    return StepOnRanks(2, mode, rules, faces).Numbers();
  };
  EXPECT_EQ(numbers(nn::BatchNormMode::kFrozen, batch), numbers(nn::BatchNormMode::kFrozen, kRules));
  EXPECT_NE(numbers(nn::BatchNormMode::kLocal, batch), numbers(nn::BatchNormMode::kLocal, kRules));
}

TEST(CotrainBatchNorm, WhereEachRanksRowsHaveTheWholesStatisticsLocalRanksTrainAsOneDoes) {
  torch::set_num_threads(1);
  World faces(5);
  CotrainRules rules = kRules;
  rules.form = FeedbackForm::kOff;  // running variances are unbiased, and with them L_old differs by rows a rank
  const auto differs = [&](nn::BatchNormMode mode) {
    const Made one = StepOnRanks(1, mode, rules, faces), two = StepOnRanks(2, mode, rules, faces);
    double most = 0;
    for (std::size_t i = 0; i < one.Numbers().size(); ++i) {
      const double scale = one.Numbers()[i] == 0 ? 1 : std::abs(one.Numbers()[i]);
      most = std::max(most, std::abs(one.Numbers()[i] - two.Numbers()[i]) / scale);
    }
    return most;
  };
  EXPECT_GT(differs(nn::BatchNormMode::kLocal), 1e-4);
  EXPECT_LT(differs(nn::BatchNormMode::kSync), 1e-10);
  for (torch::Tensor* rows : {&faces.labelled, &faces.labels, &faces.weak, &faces.strong}) {
    const torch::Tensor half = rows->slice(0, 0, rows->size(0) / 2);
    *rows = torch::cat({half, half});
  }
  EXPECT_LT(differs(nn::BatchNormMode::kLocal), 1e-10);
}

}  // namespace
}  // namespace ferment::worker
