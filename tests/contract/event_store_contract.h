// SPDX-License-Identifier: Apache-2.0
//
// What every event store must do; one suite, every backend.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "coordinator/store/event_store.h"

namespace ferment::testing {

/// Opens the same store again with each call, as a restarted coordinator would.
using OpenStore = std::function<Result<std::unique_ptr<coordinator::EventStore>>()>;

/// The parameter makes an OpenStore of a store that does not exist yet.
class EventStoreContract : public ::testing::TestWithParam<OpenStore (*)()> {
 protected:
  static std::vector<coordinator::Event> AllOf(coordinator::EventStore& store) {
    std::vector<coordinator::Event> events;
    const Status status = store.Replay([&](const coordinator::Event& event) {
      events.push_back(event);
      return Status();
    });
    EXPECT_TRUE(status.ok()) << status.ToString();
    return events;
  }
  static coordinator::Event Numbered(std::uint32_t number) {
    return coordinator::AttemptLaunched{"run", "job", number};
  }
};

TEST_P(EventStoreContract, ReadsBackInOrderWhatWasAppended) {
  const auto store = *GetParam()()();
  const std::vector<coordinator::Event> batch = {Numbered(1), Numbered(2)};
  ASSERT_TRUE(store->Append(batch).ok());
  ASSERT_TRUE(store->Append(std::vector{Numbered(3)}).ok());
  EXPECT_EQ(AllOf(*store), (std::vector{Numbered(1), Numbered(2), Numbered(3)}));
}

TEST_P(EventStoreContract, KeepsEverythingAcrossARestartAndBeginsANewTerm) {
  const OpenStore open = GetParam()();
  std::uint64_t first_term = 0;
  {
    const auto store = *open();
    first_term = store->term();
    ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
  }
  const auto store = *open();
  EXPECT_GT(store->term(), first_term);
  EXPECT_EQ(AllOf(*store), std::vector{Numbered(1)});
}

TEST_P(EventStoreContract, StopsReplayAtTheVisitorsFailure) {
  const auto store = *GetParam()()();
  ASSERT_TRUE(store->Append(std::vector{Numbered(1), Numbered(2)}).ok());
  int seen = 0;
  const Status status = store->Replay([&](const coordinator::Event&) {
    ++seen;
    return InternalError("enough");
  });
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(seen, 1);
}

/// Writes the events with these numbers; then `end` is its answer.
inline auto Snapshot(std::vector<std::uint32_t> numbers, Status end = {}) {
  return [numbers = std::move(numbers), end](const coordinator::EventSink& sink) -> Status {
    for (const std::uint32_t number : numbers) {
      FERMENT_RETURN_IF_ERROR(sink(coordinator::AttemptLaunched{"run", "job", number}));
    }
    return end;
  };
}

TEST_P(EventStoreContract, ASnapshotTakesTheLogsPlaceAndTheLogGoesOnBehindIt) {
  const OpenStore open = GetParam()();
  {
    const auto store = *open();
    ASSERT_TRUE(store->Append(std::vector{Numbered(1), Numbered(2), Numbered(3)}).ok());
    ASSERT_TRUE(store->Replace(Snapshot({10, 20})).ok());
    EXPECT_EQ(AllOf(*store), (std::vector{Numbered(10), Numbered(20)}));
    ASSERT_TRUE(store->Append(std::vector{Numbered(4)}).ok());
  }
  const auto store = *open();
  EXPECT_EQ(AllOf(*store), (std::vector{Numbered(10), Numbered(20), Numbered(4)}));
  ASSERT_TRUE(store->Replace(Snapshot({30})).ok());
  ASSERT_TRUE(store->Append(std::vector{Numbered(5)}).ok());
  EXPECT_EQ(AllOf(*store), (std::vector{Numbered(30), Numbered(5)}));
}

TEST_P(EventStoreContract, ASnapshotThatDoesNotComeToItsEndLeavesTheLogAsItWas) {
  const OpenStore open = GetParam()();
  {
    const auto store = *open();
    ASSERT_TRUE(store->Append(std::vector{Numbered(1)}).ok());
    EXPECT_EQ(store->Replace(Snapshot({10, 20}, InternalError("no"))).code(), StatusCode::kInternal);
    EXPECT_FALSE(store->Append(std::vector{Numbered(2)}).ok()) << "after a failure every call fails";
  }
  EXPECT_EQ(AllOf(**open()), std::vector{Numbered(1)});
}

}  // namespace ferment::testing
