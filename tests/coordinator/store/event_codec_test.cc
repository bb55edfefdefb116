// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/event_codec.h"

#include <gtest/gtest.h>

#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {
namespace {

std::vector<Event> OneOfEachKind() {
  const LeaseKey key{"r", "label", 3, 9};
  return {
      RunSubmitted{"r", "q", "n", "/d", "", PlanJobs({2, false}), 5},
      RunReopened{"r", "q", 6},
      RunCancelRequested{"r", "q", 7},
      RunEnded{"r", RunState::kFailed, {"why", 65}, 8},
      AttemptIntended{"r", "teacher", 2, 9},
      AttemptLaunched{"r", "teacher", 2},
      TokenTaken{"r", "teacher", 2, 3, "i", "h", 44},
      JobCompleted{"r", "teacher", 2, {1, 2.5, 3}, {{"teacher", "f", "s"}}, {{"loss", 0.25}}},
      JobFailureReported{"r", "teacher", 2, {"no", 78}},
      AttemptExited{"r", "teacher", 2, 137, true},
      ShardsPlanned{"r", "label", {"d", "c", "avx2", 1000, 0.5, {{"teacher", "f", "s", "o"}}}, {{"g", 1, 2}}, 10},
      JobEnded{"r", "label", JobState::kCancelled, {"x", 143}, 11},
      LabelerRegistered{"l", "n", "i", "avx2", "h"},
      ShardLeased{key, "l", 4, true},
      ShardReleased{key, ReleaseReason::kReplaced, "q", 70},
      ShardCommitted{key, "q", {{"f", "s"}}, {10, 5, 4, 1, {2, 3}}, {{"bad-magic", 1}}, 1.5, 2.5, 3, {7, 9}},
      ShardFailed{key, "q", {"bad", 65}, {1, 0, 0, 1, {}}},
      TeacherTripped{"r", "label", TripCause::kCollapsed, "one class", 12, "q"},
      LabelerForgotten{"l"},
      RunRestored{},
      ShardsRestored{"r", "label", {}},
      LabelerRestored{{"l", "n", "i", "avx2", 3, 30, 2, {key}, "h", 4, true, true, true}},
      RequestsRestored{{{"q", "r"}}, {"c"}},
      RunUpdated{"r", "q", false, -7, 12},
      LabelerReturned{"l"},
      ShardCondemned{key, {"deadly", 65}},
  };
}

TEST(EventCodec, ReadsBackEveryKindAsItWas) {
  const std::vector<Event> events = OneOfEachKind();
  ASSERT_EQ(events.size(), std::variant_size_v<Event>);
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(events[i].index(), i) << "one of each kind, in order";
    const auto decoded = DecodeEvent(EncodeEvent(events[i]));
    ASSERT_TRUE(decoded) << i << ": " << decoded.error().ToString();
    EXPECT_EQ(*decoded, events[i]) << i;
  }
}

TEST(EventCodec, RefusesBytesThatAreNoEvent) {
  EXPECT_EQ(DecodeEvent("\xff\xff\xff").error().code(), StatusCode::kDataLoss);
}

TEST(EventCodec, SaysThatANewerVersionIsNeededForAKindItDoesNotKnow) {
  const auto event = DecodeEvent(std::string("\xfa\x3f\x00", 3));  // field 1023, an empty message
  ASSERT_FALSE(event);
  EXPECT_EQ(ProcessExitCode(event.error()), exit_code::kUnreadableState);
}

TEST(EventCodec, WritesAVerdictForDeathsUnderAKindThatAVersionOfBeforeRefuses) {
  const std::string bytes = EncodeEvent(ShardCondemned{{"r", "label", 3, 9}, {"deadly", 65}});
  EXPECT_EQ(bytes.substr(0, 2), "\xd2\x01") << "field 26, where that of ShardFailed is 17";
}

}  // namespace
}  // namespace ferment::coordinator
