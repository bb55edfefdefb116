// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/event_codec.h"

#include <optional>

#include "common/base/check.h"
#include "ferment/v1/event.pb.h"

namespace ferment::coordinator {
namespace {

Status UnknownWord(std::string_view field, std::string_view word) {
  return FailedPreconditionError("the log holds a word of a newer version: " + std::string(field) + "=" +
                                 std::string(word))
      .WithExitCode(exit_code::kUnreadableState);
}

/// Reads an enum from its name on disk; `last` is the enum's last value.
template <typename Enum, typename NameOf>
Result<Enum> EnumNamed(std::string_view name, Enum last, NameOf name_of, std::string_view field) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (name_of(static_cast<Enum>(i)) == name) return static_cast<Enum>(i);
  }
  return Fail(UnknownWord(field, name));
}

std::string_view ReleaseReasonName(ReleaseReason reason) {
  switch (reason) {
    case ReleaseReason::kReturned:
      return "returned";
    case ReleaseReason::kExpired:
      return "expired";
    case ReleaseReason::kReplaced:
      return "replaced";
    case ReleaseReason::kFailed:
      return "failed";
  }
  return "returned";
}

std::string Text(std::string_view view) { return std::string(view); }

void Put(const Failure& from, v1::EventFailure* to) {
  to->set_message(from.message);
  to->set_exit_code(from.exit_code);
}
Failure Take(const v1::EventFailure& from) { return {from.message(), from.exit_code()}; }

void Put(const RecordCounts& from, v1::EventCounts* to) {
  to->set_read(from.read);
  to->set_labelled(from.labelled);
  to->set_abstained(from.abstained);
  to->set_quarantined(from.quarantined);
  to->mutable_class_histogram()->Assign(from.class_histogram.begin(), from.class_histogram.end());
}
RecordCounts Take(const v1::EventCounts& from) {
  return {from.read(),
          from.labelled(),
          from.abstained(),
          from.quarantined(),
          {from.class_histogram().begin(), from.class_histogram().end()}};
}

void Put(const LeaseKey& from, v1::EventLease* to) {
  to->set_run_id(from.run_id);
  to->set_job_id(from.job_id);
  to->set_shard(from.shard);
  to->set_epoch(from.epoch);
}
LeaseKey Take(const v1::EventLease& from) { return {from.run_id(), from.job_id(), from.shard(), from.epoch()}; }

template <typename From, typename To>
void PutJob(const From& from, To* to) {
  to->set_run_id(from.run_id);
  to->set_job_id(from.job_id);
}
template <typename From, typename To>
void PutAttempt(const From& from, To* to) {
  PutJob(from, to);
  to->set_attempt(from.attempt);
}
template <typename From, typename To>
void PutRequest(const From& from, To* to) {
  to->set_run_id(from.run_id);
  to->set_request_id(from.request_id);
  to->set_wall_ms(from.wall_ms);
}

void Encode(const RunSubmitted& from, v1::Event& event) {
  v1::RunSubmitted* to = event.mutable_run_submitted();
  PutRequest(from, to);
  to->set_name(from.name);
  to->set_run_dir(from.run_dir);
  FERMENT_CHECK(to->mutable_spec()->ParseFromString(from.spec)) << "the spec is not a RunSpec: run=" << from.run_id;
  for (const PlannedJob& job : from.jobs) {
    v1::EventJobPlan* plan = to->add_jobs();
    plan->set_job_id(job.job_id);
    plan->set_phase(Text(PhaseName(job.phase)));
    plan->set_round(job.round);
    plan->mutable_needs()->Assign(job.needs.begin(), job.needs.end());
    plan->set_skipped(job.skipped);
  }
}
void Encode(const RunReopened& from, v1::Event& event) { PutRequest(from, event.mutable_run_reopened()); }
void Encode(const RunCancelRequested& from, v1::Event& event) {
  PutRequest(from, event.mutable_run_cancel_requested());
}
void Encode(const RunEnded& from, v1::Event& event) {
  v1::RunEnded* to = event.mutable_run_ended();
  to->set_run_id(from.run_id);
  to->set_state(Text(RunStateName(from.state)));
  Put(from.failure, to->mutable_failure());
  to->set_wall_ms(from.wall_ms);
}
void Encode(const AttemptIntended& from, v1::Event& event) {
  PutAttempt(from, event.mutable_attempt_intended());
  event.mutable_attempt_intended()->set_wall_ms(from.wall_ms);
}
void Encode(const AttemptLaunched& from, v1::Event& event) { PutAttempt(from, event.mutable_attempt_launched()); }
void Encode(const TokenTaken& from, v1::Event& event) {
  v1::TokenTaken* to = event.mutable_token_taken();
  PutAttempt(from, to);
  to->set_token(from.token);
  to->set_incarnation(from.incarnation);
  to->set_host(from.host);
  to->set_pid(from.pid);
}
void Encode(const JobCompleted& from, v1::Event& event) {
  v1::JobCompleted* to = event.mutable_job_completed();
  PutAttempt(from, to);
  to->set_samples(from.usage.samples);
  to->set_cpu_seconds(from.usage.cpu_seconds);
  to->set_peak_rss_bytes(from.usage.peak_rss_bytes);
  for (const ModelFile& model : from.models) {
    v1::EventFile* file = to->add_models();
    file->set_role(model.role);
    file->set_file(model.file);
    file->set_sha256(model.sha256);
  }
  to->mutable_metrics()->insert(from.metrics.begin(), from.metrics.end());
}
void Encode(const JobFailureReported& from, v1::Event& event) {
  PutAttempt(from, event.mutable_job_failure_reported());
  Put(from.failure, event.mutable_job_failure_reported()->mutable_failure());
}
void Encode(const AttemptExited& from, v1::Event& event) {
  v1::AttemptExited* to = event.mutable_attempt_exited();
  PutAttempt(from, to);
  to->set_exit_code(from.exit_code);
  to->set_stopped(from.stopped);
}
void Encode(const ShardsPlanned& from, v1::Event& event) {
  v1::ShardsPlanned* to = event.mutable_shards_planned();
  PutJob(from, to);
  to->set_wall_ms(from.wall_ms);
  to->set_dataset(from.work.dataset);
  to->set_label_config(from.work.label_config);
  to->set_instruction_set(from.work.instruction_set);
  to->set_lease_ms(from.work.lease_ms);
  to->set_max_damage(from.work.max_damage);
  for (const WorkModel& model : from.work.models) {
    v1::EventFile* file = to->add_models();
    file->set_role(model.role);
    file->set_file(model.file);
    file->set_sha256(model.digest);
    file->set_output_dir(model.output_dir);
  }
  for (const PlannedShard& shard : from.shards) {
    v1::EventShardPlan* plan = to->add_shards();
    plan->set_group(shard.group);
    plan->set_first_record(shard.first_record);
    plan->set_record_count(shard.record_count);
  }
}
void Encode(const JobEnded& from, v1::Event& event) {
  v1::JobEnded* to = event.mutable_job_ended();
  PutJob(from, to);
  to->set_state(Text(JobStateName(from.state)));
  Put(from.failure, to->mutable_failure());
  to->set_wall_ms(from.wall_ms);
}
void Encode(const LabelerRegistered& from, v1::Event& event) {
  v1::LabelerRegistered* to = event.mutable_labeler_registered();
  to->set_labeler_id(from.labeler_id);
  to->set_name(from.name);
  to->set_incarnation(from.incarnation);
  to->set_instruction_set(from.instruction_set);
}
void Encode(const ShardLeased& from, v1::Event& event) {
  Put(from.key, event.mutable_shard_leased()->mutable_key());
  event.mutable_shard_leased()->set_labeler_id(from.labeler_id);
  event.mutable_shard_leased()->set_call(from.call);
}
void Encode(const ShardReleased& from, v1::Event& event) {
  Put(from.key, event.mutable_shard_released()->mutable_key());
  event.mutable_shard_released()->set_reason(Text(ReleaseReasonName(from.reason)));
  event.mutable_shard_released()->set_request_id(from.request_id);
}
void Encode(const ShardCommitted& from, v1::Event& event) {
  v1::ShardCommitted* to = event.mutable_shard_committed();
  Put(from.key, to->mutable_key());
  to->set_request_id(from.request_id);
  for (const ResultFile& result : from.files) {
    v1::EventFile* file = to->add_files();
    file->set_file(result.file);
    file->set_sha256(result.sha256);
  }
  Put(from.counts, to->mutable_counts());
  to->mutable_reasons()->insert(from.reasons.begin(), from.reasons.end());
  to->set_seconds(from.seconds);
  to->set_cpu_seconds(from.cpu_seconds);
  to->set_peak_rss_bytes(from.peak_rss_bytes);
}
void Encode(const ShardFailed& from, v1::Event& event) {
  v1::ShardFailed* to = event.mutable_shard_failed();
  Put(from.key, to->mutable_key());
  to->set_request_id(from.request_id);
  Put(from.failure, to->mutable_failure());
  Put(from.counts, to->mutable_counts());
}

Result<Event> Decode(const v1::RunSubmitted& from) {
  RunSubmitted to{from.run_id(), from.request_id(), from.name(), from.run_dir(), from.spec().SerializeAsString(), {},
                  from.wall_ms()};
  for (const v1::EventJobPlan& plan : from.jobs()) {
    FERMENT_ASSIGN_OR_RETURN(const Phase phase, EnumNamed(plan.phase(), Phase::kEvaluate, PhaseName, "phase"));
    to.jobs.push_back({plan.job_id(), phase, plan.round(), {plan.needs().begin(), plan.needs().end()}, plan.skipped()});
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
  for (const v1::EventFile& file : from.models()) to.models.push_back({file.role(), file.file(), file.sha256()});
  return to;
}
Result<Event> Decode(const v1::ShardsPlanned& from) {
  ShardsPlanned to;
  to.run_id = from.run_id();
  to.job_id = from.job_id();
  to.wall_ms = from.wall_ms();
  to.work = {from.dataset(), from.label_config(), from.instruction_set(), from.lease_ms(), from.max_damage(), {}};
  for (const v1::EventFile& file : from.models()) {
    to.work.models.push_back({file.role(), file.file(), file.sha256(), file.output_dir()});
  }
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
  return ShardReleased{Take(from.key()), reason, from.request_id()};
}
Result<Event> Decode(const v1::ShardCommitted& from) {
  ShardCommitted to{Take(from.key()),
                    from.request_id(),
                    {},
                    Take(from.counts()),
                    {from.reasons().begin(), from.reasons().end()},
                    from.seconds(),
                    from.cpu_seconds(),
                    from.peak_rss_bytes()};
  for (const v1::EventFile& file : from.files()) to.files.push_back({file.file(), file.sha256()});
  return to;
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
      return LabelerRegistered{from.labeler_id(), from.name(), from.incarnation(), from.instruction_set()};
    }
    case v1::Event::kShardLeased:
      return ShardLeased{Take(event.shard_leased().key()), event.shard_leased().labeler_id(),
                         event.shard_leased().call()};
    case v1::Event::kShardFailed: {
      const auto& from = event.shard_failed();
      return ShardFailed{Take(from.key()), from.request_id(), Take(from.failure()), Take(from.counts())};
    }
    default:
      return Fail(UnknownWord("event kind", "unknown"));
  }
}

}  // namespace

std::string EncodeEvent(const Event& event) {
  v1::Event message;
  std::visit([&](const auto& one) { Encode(one, message); }, event);
  return message.SerializeAsString();
}

Result<Event> DecodeEvent(std::string_view bytes) {
  v1::Event event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Fail(DataLossError("not an event: bytes=" + std::to_string(bytes.size())));
  }
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
    default:
      return DecodePlain(event);
  }
}

}  // namespace ferment::coordinator
