// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "tests/worker/recipes/cotrain/cotrain_job_test.h"

namespace ferment::worker {
namespace {

/// Ranks of both networks; no student's ranks: colocated.
struct Groups {
  std::uint32_t teacher;
  std::uint32_t student = 0;
};

class CotrainResumeTest : public CotrainJobTest {
 protected:
  void RunOn(const Groups& groups) {
    groups.student == 0 ? Colocate(groups.teacher) : Split(groups.teacher, groups.student);
  }

  /// Trains at a stretch and in two pieces, and compares the curve, the last checkpoint and what is published.
  void ExpectSameBitsAfterAStop() {
    testing::RecordedRunClient whole;
    const Status trained = Train("whole", whole);
    ASSERT_TRUE(trained.ok()) << trained.ToString();

    StoppingClient first(3);
    const Status stopped = Train("resumed", first);
    EXPECT_EQ(stopped.exit_code(), exit_code::kTerminated) << stopped.ToString();
    testing::RecordedRunClient second;
    ASSERT_TRUE(Train("resumed", second).ok());

    ASSERT_EQ(whole.completed.size(), 1U);
    ASSERT_EQ(second.completed.size(), 1U);
    ASSERT_EQ(whole.completed[0].models.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(whole.completed[0].models[i].role, second.completed[0].models.at(i).role);
      EXPECT_EQ(whole.completed[0].models[i].sha256, second.completed[0].models.at(i).sha256)
          << whole.completed[0].models[i].role;
    }
    ExpectSameRuns("whole", "resumed", 0);
    for (auto* client : {&whole, &second}) {
      std::erase_if(client->completed[0].last.metrics, [](const auto& figure) {
        return figure.first == "samples_per_second" || figure.first.starts_with("checkpoint_");  // times
      });
    }
    EXPECT_EQ(whole.completed[0].last.metrics, second.completed[0].last.metrics);
    EXPECT_EQ(whole.completed[0].last.metrics.at("nonfinite"), 0);
  }

  /// Trains at a stretch on the first of `lives`, and with two steps on each of them but the last, which ends the job.
  void ExpectSameCurveOnOtherRanks(const std::vector<Groups>& lives) {
    RunOn(lives.front());
    testing::RecordedRunClient whole;
    ASSERT_TRUE(Train("whole", whole).ok());
    for (const Groups& groups : lives) {
      RunOn(groups);
      const bool last = &groups == &lives.back();
      StoppingClient client(last ? -1 : 2);
      const Status status = Train("resumed", client);
      EXPECT_EQ(status.exit_code(), last ? 0 : exit_code::kTerminated) << status.ToString();
    }
    EXPECT_FALSE(std::filesystem::exists(folder_ / "resumed/phases/cotrain.old-1")) << "it was begun anew";
    EXPECT_EQ(Curve("whole").size(), spec_.cotrain().steps());
    ExpectSameRuns("whole", "resumed", 1e-9);
  }

  /// Every figure of every step, and all that the last checkpoint holds. `tolerance` is relative.
  void ExpectSameRuns(const std::string& one, const std::string& other, double tolerance) const {
    const auto curve = Curve(one), other_curve = Curve(other);
    ASSERT_EQ(curve.size(), other_curve.size());
    for (std::size_t step = 0; step < curve.size(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      ExpectSameFigures(curve[step], other_curve[step], tolerance);
    }
    const RecipeState state = Saved(one), other_state = Saved(other);
    ExpectSameFigures(state.scalars, other_state.scalars, tolerance);
    ASSERT_EQ(state.tensors.size(), other_state.tensors.size());
    for (const auto& [stem, tensors] : state.tensors) {
      const NamedTensors& others = other_state.tensors.at(stem);
      ASSERT_EQ(tensors.size(), others.size()) << stem;
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        EXPECT_EQ(tensors[i].first, others[i].first);
        const torch::Tensor whole = tensors[i].second.to(torch::kFloat64),
                            resumed = others[i].second.to(torch::kFloat64);
        EXPECT_LE((whole - resumed).norm().item<double>(), tolerance * whole.norm().item<double>())
            << stem << " " << tensors[i].first;
      }
    }
  }

  static void ExpectSameFigures(const Json& one, const Json& other, double tolerance) {
    const Json all = one.flatten(), others = other.flatten();
    ASSERT_EQ(all.size(), others.size()) << one << "\n" << other;
    for (const auto& [name, value] : all.items()) {
      ASSERT_TRUE(others.contains(name)) << name;
      if (value.is_number_float()) {
        const double expected = value;
        EXPECT_NEAR(others[name].get<double>(), expected, tolerance * std::abs(expected)) << name;
      } else {
        EXPECT_EQ(others[name], value) << name;
      }
    }
  }
};

// Teacher, student, average, momentum, baseline and the feed's position all have to come back for this.
TEST_F(CotrainResumeTest, Check6AResumedJobPublishesTheBitsOfAnUninterruptedOne) { ExpectSameBitsAfterAStop(); }

TEST_F(CotrainResumeTest, Check6SoDoesOneInTwoGroups) {
  Split(2, 1);
  ExpectSameBitsAfterAStop();
}

// The labels and h of the step before have to come back too.
TEST_F(CotrainResumeTest, Check6SoDoesOneWithLateFeedback) {
  Split(1, 2);
  spec_.mutable_cotrain()->mutable_feedback()->set_max_lag(1);
  spec_.mutable_cotrain()->set_lr_student(0.001);
  ExpectSameBitsAfterAStop();
}

// The class status has to come back too.
TEST_F(CotrainResumeTest, Check6SoDoesOneUnderClassThresholds) {
  spec_.mutable_cotrain()->mutable_pseudo_label()->set_threshold_rule("dynamic");
  spec_.mutable_cotrain()->set_threshold(0.3);
  spec_.mutable_cotrain()->set_student_mask(true);
  ExpectSameBitsAfterAStop();
  const Json status = Saved("whole").scalars.at("recipe").at("class_status");
  EXPECT_EQ(status.at("labelled").size(), 8U);
  EXPECT_NE(status.at("labelled"), status.at("confident"));
}

TEST_F(CotrainResumeTest, Check6SoDoesOneInBFloat16) {
  spec_.mutable_cotrain()->set_dtype("bfloat16");
  ExpectSameBitsAfterAStop();
}

/// Numbers that differ between ranks in the last bits alone.
class CotrainFewerRanksTest : public CotrainResumeTest {
 protected:
  void SetUp() override {
    CotrainResumeTest::SetUp();
    auto& cotrain = *spec_.mutable_cotrain();
    cotrain.set_steps(8);
    cotrain.set_batch(6);
    cotrain.set_dtype("float64");
    cotrain.set_batch_norm("sync");
    cotrain.set_threshold(0.3);
    cotrain.set_student_mask(true);
    cotrain.set_lr_student(0.01);
    cotrain.mutable_pseudo_label()->set_threshold_rule("dynamic");
  }
};

TEST_F(CotrainFewerRanksTest, Check6ThreeRanksThenTwoThenOneHaveTheCurveOfThree) {
  ExpectSameCurveOnOtherRanks({{3}, {2}, {1}});
}

TEST_F(CotrainFewerRanksTest, Check6TheSameRanksHaveTheBits) {
  Colocate(3);
  ExpectSameBitsAfterAStop();
}

TEST_F(CotrainFewerRanksTest, Check6SoHaveOtherGroupsWithLateFeedback) {
  spec_.mutable_cotrain()->mutable_feedback()->set_max_lag(1);
  ExpectSameCurveOnOtherRanks({{2, 2}, {1, 2}, {1, 1}});
}

TEST_F(CotrainFewerRanksTest, Check6SoHasTheOtherPlacement) { ExpectSameCurveOnOtherRanks({{2}, {1, 1}, {1}}); }

}  // namespace
}  // namespace ferment::worker
