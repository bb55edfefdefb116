// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/event_codec.h"

#include "common/config/newer_fields.h"
#include "coordinator/store/event_codec_snapshot.h"
#include "coordinator/store/event_codec_words.h"

namespace ferment::coordinator {
namespace {

Result<Event> Decode(const v1::RunSubmitted& from) {
  RunSubmitted to{from.run_id(), from.request_id(), from.name(), from.run_dir(), from.spec().SerializeAsString(), {},
                  from.wall_ms()};
  for (const v1::EventJobPlan& plan : from.jobs()) {
    FERMENT_ASSIGN_OR_RETURN(PlannedJob job, Take(plan));
    to.jobs.push_back(std::move(job));
  }
  return to;
}
Result<Event> Decode(const v1::RunEnded& from) {
  FERMENT_ASSIGN_OR_RETURN(const RunState state,
                           EnumNamed(from.state(), RunState::kCancelled, RunStateName, "run state"));
  return RunEnded{from.run_id(), state, Take(from.failure()), from.wall_ms()};
}
Result<Event> Decode(const v1::JobCompleted& from) {
  JobCompleted to{from.run_id(),
                  from.job_id(),
                  from.attempt(),
                  {from.samples(), from.cpu_seconds(), from.peak_rss_bytes()},
                  {},
                  {from.metrics().begin(), from.metrics().end()}};
  for (const v1::EventFile& file : from.models()) to.models.push_back(TakeModel(file));
  return to;
}
Result<Event> Decode(const v1::ShardsPlanned& from) {
  ShardsPlanned to;
  to.run_id = from.run_id();
  to.job_id = from.job_id();
  to.wall_ms = from.wall_ms();
  to.work = {from.dataset(), from.label_config(), from.instruction_set(), from.lease_ms(), from.max_damage(), {}};
  for (const v1::EventFile& file : from.models()) to.work.models.push_back(TakeWorkModel(file));
  for (const v1::EventShardPlan& plan : from.shards()) {
    to.shards.push_back({plan.group(), plan.first_record(), plan.record_count()});
  }
  return to;
}
Result<Event> Decode(const v1::JobEnded& from) {
  FERMENT_ASSIGN_OR_RETURN(const JobState state,
                           EnumNamed(from.state(), JobState::kCancelled, JobStateName, "job state"));
  return JobEnded{from.run_id(), from.job_id(), state, Take(from.failure()), from.wall_ms()};
}
Result<Event> Decode(const v1::ShardReleased& from) {
  FERMENT_ASSIGN_OR_RETURN(const ReleaseReason reason,
                           EnumNamed(from.reason(), ReleaseReason::kFailed, ReleaseReasonName, "release reason"));
  return ShardReleased{Take(from.key()), reason, from.request_id(), from.records_done()};
}
Result<Event> Decode(const v1::ShardCommitted& from) {
  ShardCommitted to{Take(from.key()),
                    from.request_id(),
                    {},
                    Take(from.counts()),
                    from.seconds(),
                    from.cpu_seconds(),
                    from.peak_rss_bytes(),
                    {from.canaries_correct(), from.canaries_checked()}};
  for (const v1::EventFile& file : from.files()) to.files.push_back({file.file(), file.sha256()});
  return to;
}
Result<Event> Decode(const v1::TeacherTripped& from) {
  FERMENT_ASSIGN_OR_RETURN(const TripCause cause,
                           EnumNamed(from.cause(), TripCause::kOperator, TripCauseName, "trip cause"));
  return TeacherTripped{from.run_id(), from.job_id(), cause, from.reason(), from.wall_ms(), from.request_id()};
}
/// The kinds whose fields can all be read as they are.
Result<Event> DecodePlain(const v1::Event& event) {
  switch (event.kind_case()) {
    case v1::Event::kRunReopened: {
      const auto& from = event.run_reopened();
      return RunReopened{from.run_id(), from.request_id(), from.wall_ms()};
    }
    case v1::Event::kRunCancelRequested: {
      const auto& from = event.run_cancel_requested();
      return RunCancelRequested{from.run_id(), from.request_id(), from.wall_ms()};
    }
    case v1::Event::kRunUpdated: {
      const auto& from = event.run_updated();
      RunUpdated to{from.run_id(), from.request_id(), {}, {}, from.wall_ms()};
      if (from.has_suspended()) to.suspended = from.suspended();
      if (from.has_priority()) to.priority = from.priority();
      return to;
    }
    case v1::Event::kAttemptIntended: {
      const auto& from = event.attempt_intended();
      return AttemptIntended{from.run_id(), from.job_id(), from.attempt(), from.wall_ms()};
    }
    case v1::Event::kAttemptLaunched: {
      const auto& from = event.attempt_launched();
      return AttemptLaunched{from.run_id(), from.job_id(), from.attempt()};
    }
    case v1::Event::kTokenTaken: {
      const auto& from = event.token_taken();
      return TokenTaken{from.run_id(),      from.job_id(), from.attempt(), from.token(),
                        from.incarnation(), from.host(),   from.pid()};
    }
    case v1::Event::kJobFailureReported: {
      const auto& from = event.job_failure_reported();
      return JobFailureReported{from.run_id(), from.job_id(), from.attempt(), Take(from.failure())};
    }
    case v1::Event::kAttemptExited: {
      const auto& from = event.attempt_exited();
      return AttemptExited{from.run_id(), from.job_id(), from.attempt(), from.exit_code(), from.stopped()};
    }
    case v1::Event::kLabelerRegistered: {
      const auto& from = event.labeler_registered();
      return LabelerRegistered{from.labeler_id(), from.name(), from.incarnation(), from.instruction_set(), from.host()};
    }
    case v1::Event::kLabelerForgotten:
      return LabelerForgotten{event.labeler_forgotten().labeler_id()};
    case v1::Event::kRunForgotten:
      return RunForgotten{event.run_forgotten().run_id()};
    case v1::Event::kForgottenRestored:
      return ForgottenRestored{event.forgotten_restored().runs()};
    case v1::Event::kLabelerReturned:
      return LabelerReturned{event.labeler_returned().labeler_id()};
    case v1::Event::kShardLeased:
      return ShardLeased{Take(event.shard_leased().key()), event.shard_leased().labeler_id(),
                         event.shard_leased().call(), event.shard_leased().alone()};
    case v1::Event::kShardFailed: {
      const auto& from = event.shard_failed();
      return ShardFailed{Take(from.key()), from.request_id(), Take(from.failure()), Take(from.counts())};
    }
    case v1::Event::kShardCondemned:
      return ShardCondemned{Take(event.shard_condemned().key()), Take(event.shard_condemned().failure())};
    default:
      return Fail(UnknownWord("event kind", "unknown"));
  }
}

}  // namespace
Result<Event> DecodeEvent(std::string_view bytes) {
  v1::Event event;
  // No bytes are a message too, but nobody's event.
  if (bytes.empty() || !event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Fail(DataLossError("not an event: bytes=" + std::to_string(bytes.size())));
  }
  const std::string newer = FieldOfANewerVersion(event);
  if (!newer.empty()) return Fail(UnknownWord("field", newer));
  switch (event.kind_case()) {
    case v1::Event::kRunSubmitted:
      return Decode(event.run_submitted());
    case v1::Event::kRunEnded:
      return Decode(event.run_ended());
    case v1::Event::kJobCompleted:
      return Decode(event.job_completed());
    case v1::Event::kShardsPlanned:
      return Decode(event.shards_planned());
    case v1::Event::kJobEnded:
      return Decode(event.job_ended());
    case v1::Event::kShardReleased:
      return Decode(event.shard_released());
    case v1::Event::kShardCommitted:
      return Decode(event.shard_committed());
    case v1::Event::kTeacherTripped:
      return Decode(event.teacher_tripped());
    case v1::Event::kRunRestored:
      return DecodeSnapshot(event.run_restored());
    case v1::Event::kShardsRestored:
      return DecodeSnapshot(event.shards_restored());
    case v1::Event::kLabelerRestored:
      return DecodeSnapshot(event.labeler_restored());
    case v1::Event::kRequestsRestored:
      return DecodeSnapshot(event.requests_restored());
    default:
      return DecodePlain(event);
  }
}

}  // namespace ferment::coordinator
