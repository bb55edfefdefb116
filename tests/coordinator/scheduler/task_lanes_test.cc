// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/task_lanes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <vector>

namespace ferment::coordinator {
namespace {

TEST(TaskLanes, ALaneThatHangsHoldsUpNoOther) {
  std::latch hang(1);
  std::latch others(20);
  TaskLanes lanes(2);
  for (int i = 0; i < 20; ++i) lanes.Post("hangs", [&] { hang.wait(); });
  for (int i = 0; i < 20; ++i) lanes.Post("well", [&] { others.count_down(); });
  others.wait();
  hang.count_down();
}

TEST(TaskLanes, TheTasksOfALaneRunInOrderOneAtATime) {
  std::latch done(1000);
  std::vector<int> order;
  TaskLanes lanes(4);
  for (int i = 0; i < 1000; ++i) {
    lanes.Post("lane", [&, i] {
      order.push_back(i);
      done.count_down();
    });
  }
  done.wait();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(TaskLanes, TheDestructorFinishesWhatRunsAndDropsWhatWaits) {
  std::latch running(1);
  std::latch go(1);
  std::atomic<int> ran{0};
  auto dropped = std::make_shared<int>();
  const std::weak_ptr<int> gone = dropped;
  auto lanes = std::make_unique<TaskLanes>(1);
  lanes->Post("lane", [&] {
    running.count_down();
    go.wait();
    ++ran;
  });
  running.wait();
  lanes->Post("other", [dropped] {});
  dropped.reset();
  std::jthread end([&] { lanes.reset(); });
  go.count_down();
  end.join();
  EXPECT_EQ(ran, 1);
  EXPECT_TRUE(gone.expired());
}

}  // namespace
}  // namespace ferment::coordinator
