// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <string_view>

#include "tests/support/run_ranks.h"
#include "tests/worker/recipes/cotrain/cotrain_pair.h"
#include "worker/train/exchange/flat_reductions.h"

namespace ferment::worker {
namespace {

using std::chrono_literals::operator""s;

constexpr SgdOptions kOptimizer = {.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3, .grad_clip = 1};
constexpr CotrainRates kRates = {.lr_teacher = 0.02, .lr_student = 0.05, .lambda = 0.5, .ema_decay = 0.9};

/// Returns: sum over this rank's rows of what the teacher loses on `credited`, seen after a pass over `batch` under the
/// statistics that `join` makes of the ranks'. The teacher stays as it is.
double LookBack(Pair& pair, const CotrainBatch& batch, const torch::Tensor& credited, const RowLabels& labels,
                const std::function<void(torch::Tensor&)>& join) {
  TrainedNetwork seen(pair.Make(nn::BatchNormMode::kLocal, 0), kOptimizer);
  seen.bucket.weights().copy_(pair.teacher.bucket.weights());
  seen.statistics.statistics().copy_(pair.teacher.statistics.statistics());
  const torch::NoGradGuard no_grad;
  seen.net->train();
  seen.net->forward(torch::cat({batch.labelled, batch.weak, batch.strong}));
  join(seen.statistics.statistics());
  seen.net->eval();
  return CrossEntropySum(seen.net->forward(credited), labels.label, 0).item<double>();
}

TEST(CotrainLate, TeacherRanksLookAtCreditedViewsUnderTheMeanOfTheirStatistics) {
  torch::set_num_threads(1);
  testing::RunRanks(3, [](Collective& world) {
    const auto rank = SplitRank::Make(world, 2, nn::BatchNormMode::kLocal, kOptimizer);
    FeedbackBaseline baseline(true);
    CotrainStep step = rank->pair.Step(baseline, {.tau = 0.7, .average_statistics = true, .late_feedback = true});
    const auto one = step.Run(0, rank->first.RowsOf(rank->group()), kRates);
    ASSERT_TRUE(one);
    ASSERT_NE(one->h, 0);
    const CotrainBatch batch = rank->second.RowsOf(rank->group());
    double apart = 0, joined = 0;
    if (rank->teaches()) {
      const torch::Tensor credited = rank->first.RowsOf(rank->group()).weak;
      std::array sums = {LookBack(rank->pair, batch, credited, one->labels, [](torch::Tensor&) {}),
                         LookBack(rank->pair, batch, credited, one->labels, [&](torch::Tensor& statistics) {
                           ASSERT_TRUE(SumOverRanks(statistics, rank->group()).ok());
                           statistics.div_(rank->group().size());
                         })};
      ASSERT_TRUE(SumOverRanks(sums, rank->group()).ok());
      apart = one->h * sums[0] / kUnlabelled;
      joined = one->h * sums[1] / kUnlabelled;
    }
    const auto two = step.Run(1, batch, kRates);
    ASSERT_TRUE(two);
    if (!rank->teaches()) return;
    EXPECT_GT(std::abs(apart - joined), 1e-6 * std::abs(joined)) << "rows too alike to tell";
    EXPECT_NEAR(two->teacher.feedback_loss, joined, 1e-9 * std::abs(joined));
  });
}

/// Where one rank waits until another has come too.
class Meeting {
 public:
  /// Returns: whether the other came.
  bool Come() {
    std::unique_lock lock(mutex_);
    ++here_;
    changed_.notify_all();
    return changed_.wait_for(lock, 20s, [&] { return here_ >= 2; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int here_ = 0;
};

/// A world whose ranks meet in the last sum that a step asks of their own group.
class MeetingCollective : public Collective {
 public:
  /// `before`: how many sums of doubles the group makes before. Null: nobody meets. The world outlives it.
  MeetingCollective(Collective& world, Meeting* meeting, int before)
      : inner_(&world), meeting_(meeting), before_(before) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  Status AllReduceSum(std::span<float> values) override { return inner_->AllReduceSum(values); }
  Status AllReduceSum(std::span<double> values) override {
    const bool meets = own_ && meeting_ != nullptr && before_-- == 0;
    EXPECT_TRUE(!meets || meeting_->Come()) << "one group waits for the other";
    return inner_->AllReduceSum(values);
  }
  Status Broadcast(std::span<std::byte> bytes, int root) override { return inner_->Broadcast(bytes, root); }
  Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    return inner_->AllGather(mine, all);
  }
  Status Barrier() override { return inner_->Barrier(); }
  Result<std::unique_ptr<Collective>> Split(int color) override {
    FERMENT_ASSIGN_OR_RETURN(auto part, inner_->Split(color));
    auto group = std::make_unique<MeetingCollective>(*part, meeting_, before_);
    group->own_ = std::move(part);
    return group;
  }
  void Abort(int exit_code) override { inner_->Abort(exit_code); }

 private:
  Collective* inner_;
  Meeting* meeting_;
  int before_;
  std::unique_ptr<Collective> own_;
};

/// Returns: whether a span of one group's update and one of the other's lie over each other, in a step of two ranks.
bool UpdatesOverlap(bool late, Meeting* meeting) {
  Trace trace;
  testing::RunRanks(2, [&](Collective& plain) {
    // The teacher's first sum is that of its forward pass.
    MeetingCollective world(plain, meeting, plain.rank() == 0 ? 1 : 0);
    const auto rank = SplitRank::Make(world, 1, nn::BatchNormMode::kFrozen, kOptimizer);
    Pair& pair = rank->pair;
    FeedbackBaseline baseline(true);
    CotrainStep step(rank->teaches() ? &pair.teacher : nullptr, rank->teaches() ? nullptr : &pair.student,
                     &pair.average, baseline, {.tau = 0.7, .late_feedback = late}, pair.placement, &trace);
    EXPECT_TRUE(step.Run(0, rank->first.RowsOf(rank->group()), kRates));
  });
  std::optional<TracedSpan> teacher, student;
  for (const TracedSpan& span : trace.Spans()) {
    if (std::string_view(span.name) == "teacher update") teacher = span;
    if (std::string_view(span.name) == "student update") student = span;
  }
  EXPECT_TRUE(teacher && student);
  return teacher && student && teacher->begin < student->end && student->begin < teacher->end;
}

// Neither group gets to the end of its update before the other is in its own.
TEST(CotrainLate, TheGroupsWorkSideBySideAndOtherwiseOneAfterTheOther) {
  torch::set_num_threads(1);
  Meeting meeting;
  EXPECT_TRUE(UpdatesOverlap(/*late=*/true, &meeting));
  EXPECT_FALSE(UpdatesOverlap(/*late=*/false, nullptr));
}

}  // namespace
}  // namespace ferment::worker
