// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "coordinator/store/event_codec.h"
#include "coordinator/store/event_codec_snapshot.h"
#include "coordinator/store/event_codec_words.h"

namespace ferment::coordinator {
namespace {

std::string Text(std::string_view view) { return std::string(view); }

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
  for (const PlannedJob& job : from.jobs) Put(job, to->add_jobs());
}
void Encode(const RunReopened& from, v1::Event& event) { PutRequest(from, event.mutable_run_reopened()); }
void Encode(const RunCancelRequested& from, v1::Event& event) {
  PutRequest(from, event.mutable_run_cancel_requested());
}
void Encode(const RunUpdated& from, v1::Event& event) {
  v1::RunUpdated* to = event.mutable_run_updated();
  PutRequest(from, to);
  if (from.suspended) to->set_suspended(*from.suspended);
  if (from.priority) to->set_priority(*from.priority);
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
  to->set_host(from.host);
}
void Encode(const LabelerForgotten& from, v1::Event& event) {
  event.mutable_labeler_forgotten()->set_labeler_id(from.labeler_id);
}
void Encode(const RunForgotten& from, v1::Event& event) { event.mutable_run_forgotten()->set_run_id(from.run_id); }
void Encode(const LabelerReturned& from, v1::Event& event) {
  event.mutable_labeler_returned()->set_labeler_id(from.labeler_id);
}
void Encode(const ShardLeased& from, v1::Event& event) {
  Put(from.key, event.mutable_shard_leased()->mutable_key());
  event.mutable_shard_leased()->set_labeler_id(from.labeler_id);
  event.mutable_shard_leased()->set_call(from.call);
  event.mutable_shard_leased()->set_alone(from.alone);
}
void Encode(const ShardReleased& from, v1::Event& event) {
  Put(from.key, event.mutable_shard_released()->mutable_key());
  event.mutable_shard_released()->set_reason(Text(ReleaseReasonName(from.reason)));
  event.mutable_shard_released()->set_request_id(from.request_id);
  event.mutable_shard_released()->set_records_done(from.records_done);
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
  to->set_seconds(from.seconds);
  to->set_cpu_seconds(from.cpu_seconds);
  to->set_peak_rss_bytes(from.peak_rss_bytes);
  to->set_canaries_checked(from.canaries.checked);
  to->set_canaries_correct(from.canaries.correct);
}
void Encode(const TeacherTripped& from, v1::Event& event) {
  v1::TeacherTripped* to = event.mutable_teacher_tripped();
  PutJob(from, to);
  to->set_cause(Text(TripCauseName(from.cause)));
  to->set_reason(from.reason);
  to->set_wall_ms(from.wall_ms);
  to->set_request_id(from.request_id);
}
void Encode(const ShardFailed& from, v1::Event& event) {
  v1::ShardFailed* to = event.mutable_shard_failed();
  Put(from.key, to->mutable_key());
  to->set_request_id(from.request_id);
  Put(from.failure, to->mutable_failure());
  Put(from.counts, to->mutable_counts());
}
void Encode(const ShardCondemned& from, v1::Event& event) {
  Put(from.key, event.mutable_shard_condemned()->mutable_key());
  Put(from.failure, event.mutable_shard_condemned()->mutable_failure());
}

void Encode(const RunRestored& from, v1::Event& event) { EncodeSnapshot(from, event); }
void Encode(const ShardsRestored& from, v1::Event& event) { EncodeSnapshot(from, event); }
void Encode(const LabelerRestored& from, v1::Event& event) { EncodeSnapshot(from, event); }
void Encode(const RequestsRestored& from, v1::Event& event) { EncodeSnapshot(from, event); }
void Encode(const ForgottenRestored& from, v1::Event& event) {
  event.mutable_forgotten_restored()->set_runs(from.runs);
}

}  // namespace

std::string EncodeEvent(const Event& event) {
  v1::Event message;
  std::visit([&](const auto& one) { Encode(one, message); }, event);
  return message.SerializeAsString();
}

}  // namespace ferment::coordinator
