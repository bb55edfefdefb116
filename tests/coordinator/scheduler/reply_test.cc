// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/reply.h"

#include <gtest/gtest.h>

#include <memory>

namespace ferment::coordinator {
namespace {

TEST(Reply, TellsWhatWasDecidedOnceItIsSaved) {
  int told = 0;
  Reply<Result<int>> reply([&](const Result<int>& answer) { told = *answer; });
  reply.Decide(7);
  EXPECT_EQ(told, 0);
  reply.Send({});
  EXPECT_EQ(told, 7);
}

TEST(Reply, TellsWhyNothingWasSavedWhateverWasDecided) {
  Status told;
  {
    Reply<Status> reply([&](const Status& answer) { told = answer; });
    reply.Decide({});
    reply.Send(UnavailableError("the store failed"));
  }
  EXPECT_EQ(told.message(), "the store failed");
}

TEST(Reply, TellsADroppedQuestionTooAndNobodyTwice) {
  int calls = 0;
  StatusCode told = StatusCode::kOk;
  const auto then = [&](const Result<int>& answer) {
    ++calls;
    told = answer ? StatusCode::kOk : answer.error().code();
  };
  std::make_unique<Reply<Result<int>>>(then).reset();
  EXPECT_EQ(told, StatusCode::kUnavailable);
  auto reply = std::make_unique<Reply<Result<int>>>(then);
  reply->Send(AbortedError("lost"));
  reply.reset();
  EXPECT_EQ(told, StatusCode::kAborted);
  EXPECT_EQ(calls, 2);
}

TEST(Reply, TellsThatNothingWasDecided) {
  Status told;
  bool gone = false;
  Reply<Status> reply({[&](const Status& answer) { told = answer; }, [&] { return gone; }});
  EXPECT_FALSE(reply.GivenUp());
  gone = true;
  EXPECT_TRUE(reply.GivenUp());
  reply.Send({});
  EXPECT_EQ(told.code(), StatusCode::kCancelled);
}

TEST(Reply, IsNeverGivenUpByWhoCannot) {
  Reply<Status> reply(Then<Status>([](const Status&) {}));
  EXPECT_FALSE(reply.GivenUp());
}

}  // namespace
}  // namespace ferment::coordinator
