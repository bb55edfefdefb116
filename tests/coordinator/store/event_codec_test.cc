// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/event_codec.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <functional>
#include <utility>

#include "coordinator/core/pipeline.h"
#include "ferment/v1/event.pb.h"

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
      ShardCommitted{key, "q", {{"f", "s"}}, {10, 5, 4, 1, {2, 3}}, 1.5, 2.5, 3, {7, 9}},
      ShardFailed{key, "q", {"bad", 65, FailureCause::kPlanRefused}, {1, 0, 0, 1, {}}},
      TeacherTripped{"r", "label", TripCause::kCollapsed, "one class", 12, "q"},
      LabelerForgotten{"l"},
      RunRestored{},
      ShardsRestored{"r", "label", {}},
      LabelerRestored{{"l", "n", "i", "avx2", 3, 30, 2, {key}, "h", 4, true, true, true}},
      RequestsRestored{{{"q", "r"}}, {{"c", "r"}, {"d", "s"}}},
      RunUpdated{"r", "q", false, -7, 12},
      LabelerReturned{"l"},
      ShardCondemned{key, {"deadly", 65}},
      RunForgotten{"r"},
      ForgottenRestored{7},
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

TEST(EventCodec, ChangesOfAVersionThatForgotNoRunsAreKnownWithoutTheirs) {
  v1::Event event;
  event.mutable_requests_restored()->add_changes("c");
  const auto decoded = DecodeEvent(event.SerializeAsString());
  ASSERT_TRUE(decoded) << decoded.error().ToString();
  EXPECT_EQ(std::get<RequestsRestored>(*decoded).changes, (std::map<std::string, std::string>{{"c", ""}}));
  event.mutable_requests_restored()->add_changed_runs("r");
  event.mutable_requests_restored()->add_changed_runs("s");
  EXPECT_EQ(DecodeEvent(event.SerializeAsString()).error().code(), StatusCode::kDataLoss);
}

TEST(EventCodec, AMessageOfAnyBytesCanBeReadAgain) {
  const auto decoded =
      DecodeEvent(EncodeEvent(JobFailureReported{"r", "teacher", 2, {"\"Fr\xF6hlich\" is no class", 65}}));
  ASSERT_TRUE(decoded) << decoded.error().ToString();
  EXPECT_EQ(std::get<JobFailureReported>(*decoded).failure.message, "\"Fr?hlich\" is no class");
  const Event umlaut = JobFailureReported{"r", "teacher", 2, {"Fr\xC3\xB6hlich", 65}};
  EXPECT_EQ(*DecodeEvent(EncodeEvent(umlaut)), umlaut);
}

TEST(EventCodec, AnUpdateThatLeavesARunsStateOrPriorityAloneStaysOne) {
  const Event event = RunUpdated{"r", "q", {}, {}, 12};
  EXPECT_EQ(*DecodeEvent(EncodeEvent(event)), event);
}

TEST(EventCodecDeathTest, ASpecThatIsNoneIsOurBug) {
  EXPECT_DEATH(EncodeEvent(RunSubmitted{"r", "q", "n", "/d", "\xff", {}, 5}), "not a RunSpec: run=r");
  RunRestored restored;
  restored.run.run_id = "s";
  restored.run.spec = "\xff";
  EXPECT_DEATH(EncodeEvent(restored), "not a RunSpec: run=s");
}

TEST(EventCodec, RefusesBytesThatAreNoEvent) {
  EXPECT_EQ(DecodeEvent("\xff\xff\xff").error().code(), StatusCode::kDataLoss);
}

TEST(EventCodec, SaysThatANewerVersionIsNeededForAKindItDoesNotKnow) {
  const auto event = DecodeEvent(std::string("\xfa\x3f\x00", 3));  // field 1023, an empty message
  ASSERT_FALSE(event);
  EXPECT_EQ(ProcessExitCode(event.error()), exit_code::kUnreadableState);
}

TEST(EventCodec, SaysThatANewerVersionIsNeededForAWordItDoesNotKnowAndWhichItIs) {
  const std::vector<std::pair<std::function<void(v1::Event&)>, std::string>> unknown = {
      {[](v1::Event& e) { e.mutable_run_submitted()->add_jobs()->set_phase("distil"); }, "phase=distil"},
      {[](v1::Event& e) { e.mutable_run_ended()->set_state("lost"); }, "run state=lost"},
      {[](v1::Event& e) { e.mutable_job_ended()->set_state("lost"); }, "job state=lost"},
      {[](v1::Event& e) { e.mutable_shard_released()->set_reason("stolen"); }, "release reason=stolen"},
      {[](v1::Event& e) { e.mutable_teacher_tripped()->set_cause("mood"); }, "trip cause=mood"},
      {[](v1::Event& e) { e.mutable_run_restored()->set_state("lost"); }, "run state=lost"},
      {[](v1::Event& e) {
         e.mutable_run_restored()->set_state("running");
         e.mutable_run_restored()->add_jobs()->mutable_plan()->set_phase("distil");
       },
       "phase=distil"},
      {[](v1::Event& e) {
         e.mutable_run_restored()->set_state("running");
         v1::SnapshotJob* job = e.mutable_run_restored()->add_jobs();
         job->mutable_plan()->set_phase("teacher");
         job->set_state("lost");
       },
       "job state=lost"},
  };
  for (const auto& [write, word] : unknown) {
    v1::Event event;
    write(event);
    const auto decoded = DecodeEvent(event.SerializeAsString());
    ASSERT_FALSE(decoded) << word;
    EXPECT_EQ(ProcessExitCode(decoded.error()), exit_code::kUnreadableState) << word;
    EXPECT_THAT(std::string(decoded.error().message()), ::testing::HasSubstr(word));
  }
}

void AddFieldOfANewerVersion(google::protobuf::Message* message) {
  message->GetReflection()->MutableUnknownFields(message)->AddVarint(1023, 1);
}

TEST(EventCodec, SaysThatANewerVersionIsNeededForAFieldItDoesNotKnowHoweverDeepItLies) {
  const std::vector<std::pair<std::function<void(v1::Event&)>, std::string>> unknown = {
      {[](v1::Event& e) {
         e.mutable_labeler_returned()->set_labeler_id("l");
         AddFieldOfANewerVersion(&e);
       },
       "field=#1023"},
      {[](v1::Event& e) { AddFieldOfANewerVersion(e.mutable_labeler_returned()); }, "field=labeler_returned.#1023"},
      {[](v1::Event& e) { AddFieldOfANewerVersion(e.mutable_shard_leased()->mutable_key()); },
       "field=shard_leased.key.#1023"},
      {[](v1::Event& e) {
         e.mutable_shard_committed()->add_files();
         AddFieldOfANewerVersion(e.mutable_shard_committed()->add_files());
       },
       "field=shard_committed.files.#1023"},
      {[](v1::Event& e) { AddFieldOfANewerVersion(e.mutable_run_submitted()->mutable_spec()->mutable_cotrain()); },
       "field=run_submitted.spec.cotrain.#1023"},
      {[](v1::Event& e) { AddFieldOfANewerVersion(e.mutable_run_restored()->add_jobs()->add_deaths()); },
       "field=run_restored.jobs.deaths.#1023"},
  };
  for (const auto& [write, field] : unknown) {
    v1::Event event;
    write(event);
    const auto decoded = DecodeEvent(event.SerializeAsString());
    ASSERT_FALSE(decoded) << field;
    EXPECT_EQ(decoded.error().code(), StatusCode::kFailedPrecondition) << field;
    EXPECT_EQ(ProcessExitCode(decoded.error()), exit_code::kUnreadableState) << field;
    EXPECT_THAT(std::string(decoded.error().message()),
                ::testing::AllOf(::testing::HasSubstr("a newer version wrote it"), ::testing::HasSubstr(field)));
  }
}

/// Returns: whether the message, or one within it, has what may become other without a field that is not known.
bool HasWhatNobodyWouldSee(const google::protobuf::Descriptor& type) {
  for (int i = 0; i < type.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *type.field(i);
    if (field.enum_type() != nullptr) return true;
    if (field.message_type() == nullptr) continue;
    const bool of_messages = field.is_map() && field.message_type()->map_value()->message_type() != nullptr;
    if (of_messages || HasWhatNobodyWouldSee(*field.message_type())) return true;
  }
  return false;
}

TEST(EventCodec, EventsHaveNeitherEnumsNorMapsOfMessagesInWhichANewVersionsValuesWouldNotBeSeen) {
  EXPECT_FALSE(HasWhatNobodyWouldSee(*v1::Event::descriptor()));
}

TEST(EventCodec, AFailuresCauseOfANewerVersionIsNone) {
  v1::Event event;
  v1::EventFailure& failure = *event.mutable_job_failure_reported()->mutable_failure();
  failure.set_exit_code(65);
  failure.set_cause("moon-phase");
  const auto decoded = DecodeEvent(event.SerializeAsString());
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(std::get<JobFailureReported>(*decoded).failure, (Failure{"", 65}));
}

TEST(EventCodec, WritesAVerdictForDeathsUnderAKindThatAVersionOfBeforeRefuses) {
  const std::string bytes = EncodeEvent(ShardCondemned{{"r", "label", 3, 9}, {"deadly", 65}});
  EXPECT_EQ(bytes.substr(0, 2), "\xd2\x01") << "field 26, where that of ShardFailed is 17";
}

}  // namespace
}  // namespace ferment::coordinator
