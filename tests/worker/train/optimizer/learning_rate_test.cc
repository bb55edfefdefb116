// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer/learning_rate.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "common/base/json.h"

namespace ferment::worker {
namespace {

TEST(LearningRate, IsWhatTheReferenceSchedulesGive) {
  std::ostringstream text;
  text << std::ifstream(FERMENT_FIXTURES "/optim/lr.json").rdbuf();
  const auto fixture = ParseJson(text.str());
  ASSERT_TRUE(fixture);
  for (const Json& item : (*fixture)["schedules"]) {
    LearningRateSchedule schedule;
    schedule.base = item["base"];
    schedule.warmup_steps = item["warmup_steps"];
    schedule.total_steps = item["total_steps"];
    schedule.warmup_start = item["warmup_start"].get<double>();
    schedule.final_rate = item["final"];
    for (std::size_t s = 0; s < item["lr"].size(); ++s)
      EXPECT_NEAR(schedule.At(s), item["lr"][s].get<double>(), 1e-12) << "s=" << s;
  }
}

TEST(LearningRate, WarmsUpFromOneStepOfTheWay) {
  const LearningRateSchedule schedule{.base = 0.2, .total_steps = 100, .warmup_steps = 4};
  EXPECT_DOUBLE_EQ(schedule.At(0), 0.05);
  EXPECT_DOUBLE_EQ(schedule.At(3), 0.2);
  EXPECT_DOUBLE_EQ(schedule.At(4), 0.2);
  EXPECT_NEAR(schedule.At(100), 0, 1e-15);
}

TEST(LearningRate, StartsItsWarmUpAtTheEndOfTheWaitWithoutAJump) {
  const LearningRateSchedule schedule{.base = 1, .total_steps = 100, .warmup_steps = 10, .wait_steps = 30};
  EXPECT_EQ(schedule.At(0), 0);
  EXPECT_EQ(schedule.At(29), 0);
  EXPECT_DOUBLE_EQ(schedule.At(30), 0.1);
  EXPECT_DOUBLE_EQ(schedule.At(39), 1);
}

TEST(LearningRate, EndsItsCosineWithTheStepsThoughItWaited) {
  const LearningRateSchedule schedule{.base = 1, .total_steps = 100, .warmup_steps = 10, .wait_steps = 30};
  EXPECT_DOUBLE_EQ(schedule.At(40), 1);
  EXPECT_NEAR(schedule.At(55), 0.853553390593274, 1e-12);  // a quarter of the 60 steps that are left
  EXPECT_NEAR(schedule.At(70), 0.5, 1e-12);
  EXPECT_NEAR(schedule.At(99), 0.000685232622713, 1e-12);
  EXPECT_EQ(schedule.At(100), 0);
}

}  // namespace
}  // namespace ferment::worker
