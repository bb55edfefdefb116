// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/request_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ferment::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using enum RequestKind;

/// A queue of names.
class RequestQueueTest : public ::testing::Test {
 protected:
  void Push(RequestKind kind, const std::string& name) {
    queue_.Push(kind, {[this, name] { decided_.push_back(name); }, nullptr});
  }
  void PushMany(RequestKind kind, const std::string& name, int count) {
    for (int i = 0; i < count; ++i) Push(kind, name + std::to_string(i));
  }
  /// Returns: how many it took of this kind before it was full.
  int Fill(RequestKind kind) {
    int count = 0;
    for (; queue_.HasRoomFor(kind); ++count) Push(kind, "");
    return count;
  }
  std::vector<std::string> Take(std::size_t most) {
    decided_.clear();
    for (const Operation& operation : queue_.Take(most)) operation.decide();
    return decided_;
  }

  RequestQueue queue_{8};

 private:
  std::vector<std::string> decided_;
};

TEST_F(RequestQueueTest, DecidesHeldWorkFirstAndEachLineInOrder) {
  Push(kLookup, "lookup");
  Push(kHeldWork, "renewal");
  Push(kNewWork, "lease");
  Push(kOwn, "own");
  EXPECT_THAT(Take(8), ElementsAre("renewal", "own", "lookup", "lease"));
  EXPECT_TRUE(queue_.empty());
  EXPECT_THAT(Take(8), IsEmpty());
}

TEST_F(RequestQueueTest, LeavesAQuarterOfABatchToTheRest) {
  PushMany(kHeldWork, "held", 8);
  PushMany(kLookup, "lookup", 3);
  EXPECT_THAT(Take(4), ElementsAre("held0", "held1", "held2", "lookup0"));
  EXPECT_THAT(Take(4), ElementsAre("held3", "held4", "held5", "lookup1"));
  EXPECT_THAT(Take(4), ElementsAre("held6", "held7", "lookup2"));
}

TEST_F(RequestQueueTest, LeavesNoPlaceEmptyWhileAnythingWaits) {
  PushMany(kHeldWork, "held", 5);
  Push(kLookup, "lookup");
  EXPECT_THAT(Take(5), ElementsAre("held0", "held1", "held2", "held3", "lookup"));
  PushMany(kNewWork, "lease", 4);
  EXPECT_THAT(Take(4), ElementsAre("held4", "lease0", "lease1", "lease2"));
  PushMany(kHeldWork, "more", 3);
  EXPECT_THAT(Take(2), ElementsAre("more0", "lease3"));
  EXPECT_THAT(Take(2), ElementsAre("more1", "more2"));
}

TEST_F(RequestQueueTest, TakesHeldWorkWhereTheRestIsRefused) {
  EXPECT_EQ(Fill(kLookup), 6);
  EXPECT_FALSE(queue_.HasRoomFor(kNewWork));
  EXPECT_EQ(Fill(kHeldWork), 2);
  EXPECT_EQ(queue_.size(), 8U);
}

TEST_F(RequestQueueTest, TakesTheRestWhereHeldWorkIsRefused) {
  EXPECT_EQ(Fill(kHeldWork), 6);
  EXPECT_EQ(Fill(kNewWork), 2);
  EXPECT_EQ(queue_.size(), 8U);
}

TEST_F(RequestQueueTest, RefusesNothingOfTheCoordinatorsOwn) {
  Fill(kLookup);
  Fill(kHeldWork);
  EXPECT_TRUE(queue_.HasRoomFor(kOwn));
  Push(kOwn, "own");
  EXPECT_EQ(queue_.size(), 9U);
}

TEST_F(RequestQueueTest, GivesAllOfItAtOnceToWhomAsksForAll) {
  PushMany(kHeldWork, "held", 5);
  PushMany(kLookup, "lookup", 2);
  EXPECT_EQ(Take(queue_.size()).size(), 7U);
  EXPECT_TRUE(queue_.empty());
}

}  // namespace
}  // namespace ferment::coordinator
