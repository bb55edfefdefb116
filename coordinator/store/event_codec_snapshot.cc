// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/event_codec_snapshot.h"

#include <algorithm>
#include <map>

#include "common/base/check.h"
#include "coordinator/store/event_codec_words.h"

namespace ferment::coordinator {
namespace {

/// Of one event; JobBook::Snapshot stays far below.
constexpr std::uint32_t kMostShards = 1U << 20;

void Put(const Attempt& from, v1::SnapshotAttempt* to) {
  to->set_number(from.number);
  to->set_launched(from.launched);
  to->set_token(from.token);
  to->set_incarnation(from.incarnation);
  to->set_completed(from.completed);
  if (from.reported) coordinator::Put(*from.reported, to->mutable_reported());
  if (from.exit_code) to->set_exit_code(*from.exit_code);
  to->set_stopped(from.stopped);
}

void Put(const ShardWork& from, v1::SnapshotWork* to) {
  to->set_dataset(from.dataset);
  to->set_label_config(from.label_config);
  to->set_instruction_set(from.instruction_set);
  to->set_lease_ms(from.lease_ms);
  to->set_max_damage(from.max_damage);
  for (const WorkModel& model : from.models) coordinator::Put(model, to->add_models());
}

void Put(const JobSummary& from, v1::SnapshotJob* to) {
  coordinator::Put(from.plan, to->mutable_plan());
  to->set_state(std::string(JobStateName(from.state)));
  Put(from.attempt, to->mutable_attempt());
  to->set_failed_attempts(from.failed_attempts);
  to->set_last_token(from.last_token);
  to->set_samples(from.usage.samples);
  to->set_cpu_seconds(from.usage.cpu_seconds);
  to->set_peak_rss_bytes(from.usage.peak_rss_bytes);
  for (const ModelFile& model : from.models) coordinator::Put(model, to->add_models());
  to->mutable_metrics()->insert(from.metrics.begin(), from.metrics.end());
  coordinator::Put(from.failure, to->mutable_failure());
  to->set_started_wall_ms(from.started_wall_ms);
  to->set_ended_wall_ms(from.ended_wall_ms);
  Put(from.work, to->mutable_work());
  to->mutable_result_folders()->Assign(from.result_folders.begin(), from.result_folders.end());
  coordinator::Put(from.records, to->mutable_records());
  to->set_canaries_checked(from.canaries.checked);
  to->set_canaries_correct(from.canaries.correct);
  to->set_tripped(from.tripped);
  to->set_tripped_by(from.tripped_by);
  for (const auto& [shard, failed_by] : from.failed_by) {
    for (const FailedBy& one : failed_by) {
      v1::SnapshotFailure* failure = to->add_failed_by();
      failure->set_shard(shard);
      failure->set_labeler(one.labeler);
      failure->set_host(one.host);
    }
  }
  for (const auto& [shard, deaths] : from.deaths) {
    for (const Death& one : deaths) {
      v1::SnapshotDeath* death = to->add_deaths();
      death->set_shard(shard);
      death->set_labeler_id(one.labeler_id);
      death->set_host(one.host);
      death->set_alone(one.alone);
      death->set_records_done(one.records_done);
    }
  }
  to->mutable_alone()->Assign(from.alone.begin(), from.alone.end());
}

Attempt Take(const v1::SnapshotAttempt& from) {
  Attempt to;
  to.number = from.number();
  to.launched = from.launched();
  to.token = from.token();
  to.incarnation = from.incarnation();
  to.completed = from.completed();
  if (from.has_reported()) to.reported = coordinator::Take(from.reported());
  if (from.has_exit_code()) to.exit_code = from.exit_code();
  to.stopped = from.stopped();
  return to;
}

ShardWork Take(const v1::SnapshotWork& from) {
  ShardWork to{from.dataset(), from.label_config(), from.instruction_set(), from.lease_ms(), from.max_damage(), {}};
  for (const v1::EventFile& model : from.models()) to.models.push_back(TakeWorkModel(model));
  return to;
}

Result<JobSummary> Take(const v1::SnapshotJob& from) {
  JobSummary to;
  FERMENT_ASSIGN_OR_RETURN(to.plan, coordinator::Take(from.plan()));
  FERMENT_ASSIGN_OR_RETURN(to.state, EnumNamed(from.state(), JobState::kCancelled, JobStateName, "job state"));
  to.attempt = Take(from.attempt());
  to.failed_attempts = from.failed_attempts();
  to.last_token = from.last_token();
  to.usage = {from.samples(), from.cpu_seconds(), from.peak_rss_bytes()};
  for (const v1::EventFile& model : from.models()) to.models.push_back(TakeModel(model));
  to.metrics = {from.metrics().begin(), from.metrics().end()};
  to.failure = coordinator::Take(from.failure());
  to.started_wall_ms = from.started_wall_ms();
  to.ended_wall_ms = from.ended_wall_ms();
  to.work = Take(from.work());
  to.result_folders = {from.result_folders().begin(), from.result_folders().end()};
  to.records = coordinator::Take(from.records());
  to.canaries = {from.canaries_correct(), from.canaries_checked()};
  to.tripped = from.tripped();
  to.tripped_by = from.tripped_by();
  for (const v1::SnapshotFailure& one : from.failed_by()) {
    to.failed_by[one.shard()].push_back({one.labeler(), one.host()});
  }
  for (const v1::SnapshotDeath& one : from.deaths()) {
    to.deaths[one.shard()].push_back({one.labeler_id(), one.host(), one.alone(), one.records_done()});
  }
  to.alone = {from.alone().begin(), from.alone().end()};
  return to;
}

/// A column of the table of shards, left out where it says nothing.
template <typename Column, typename Of>
void PutColumn(const std::vector<Shard>& shards, Of of, Column* column) {
  using Value = std::decay_t<decltype(of(shards.front()))>;
  if (std::all_of(shards.begin(), shards.end(), [&](const Shard& shard) { return of(shard) == Value(); })) return;
  column->Reserve(static_cast<int>(shards.size()));
  for (const Shard& shard : shards) *column->Add() = of(shard);
}

/// Returns: whether each shard has its entry, or none has.
template <typename... Columns>
bool Fit(std::uint32_t count, const Columns&... columns) {
  return ((columns.empty() || static_cast<std::uint32_t>(columns.size()) == count) && ...);
}

/// Returns: the entry, or the value of a column that was left out.
template <typename Column>
auto At(const Column& column, int index) {
  using Value = std::decay_t<decltype(column.Get(index))>;
  return column.empty() ? Value() : column.Get(index);
}

Result<Shard> TakeShard(const v1::ShardsRestored& from, int i) {
  Shard to;
  to.plan = {At(from.group(), i), At(from.first_record(), i), At(from.record_count(), i)};
  const std::uint32_t state = At(from.state(), i);
  if (state > static_cast<std::uint32_t>(ShardState::kFailed)) {
    return Fail(UnknownWord("shard state", std::to_string(state)));
  }
  to.state = static_cast<ShardState>(state);
  to.epoch = At(from.epoch(), i);
  const std::uint32_t labeler = At(from.labeler(), i);
  if (labeler >= static_cast<std::uint32_t>(from.labelers_size())) {
    return Fail(DataLossError("a shard of the snapshot names no labeler: number=" + std::to_string(labeler)));
  }
  to.labeler_id = from.labelers(static_cast<int>(labeler));
  to.failures = At(from.failures(), i);
  to.last_request_id = At(from.last_request_id(), i);
  to.files = PackedFiles::FromText(At(from.files(), i));
  to.counts = {At(from.read(), i), At(from.labelled(), i), At(from.abstained(), i), At(from.quarantined(), i), {}};
  return to;
}

}  // namespace

void EncodeSnapshot(const RunRestored& from, v1::Event& event) {
  v1::RunRestored* to = event.mutable_run_restored();
  const RunSummary& run = from.run;
  to->set_run_id(run.run_id);
  to->set_name(run.name);
  to->set_run_dir(run.run_dir);
  FERMENT_CHECK(to->mutable_spec()->ParseFromString(run.spec)) << "the spec is not a RunSpec: run=" << run.run_id;
  to->set_state(std::string(RunStateName(run.state)));
  to->set_cancel_requested(run.cancel_requested);
  to->set_suspended(run.suspended);
  to->set_priority(run.priority);
  coordinator::Put(run.failure, to->mutable_failure());
  to->set_submitted_wall_ms(run.submitted_wall_ms);
  to->set_ended_wall_ms(run.ended_wall_ms);
  to->set_revision(run.revision);
  to->set_phase_revision(run.phase_revision);
  for (const JobSummary& job : from.jobs) Put(job, to->add_jobs());
}

void EncodeSnapshot(const ShardsRestored& from, v1::Event& event) {
  v1::ShardsRestored* to = event.mutable_shards_restored();
  to->set_run_id(from.run_id);
  to->set_job_id(from.job_id);
  to->set_count(static_cast<std::uint32_t>(from.shards.size()));
  std::map<std::string, std::uint32_t, std::less<>> labelers;
  for (const Shard& shard : from.shards) {
    if (labelers.emplace(shard.labeler_id, labelers.size()).second) to->add_labelers(shard.labeler_id);
  }
  const auto column = [&](auto of, auto* to_column) { PutColumn(from.shards, of, to_column); };
  column([](const Shard& s) { return static_cast<std::uint32_t>(s.state); }, to->mutable_state());
  column([](const Shard& s) { return s.epoch; }, to->mutable_epoch());
  column([&](const Shard& s) { return labelers.find(s.labeler_id)->second; }, to->mutable_labeler());
  column([](const Shard& s) { return s.failures; }, to->mutable_failures());
  column([](const Shard& s) { return s.last_request_id; }, to->mutable_last_request_id());
  column([](const Shard& s) { return s.plan.group; }, to->mutable_group());
  column([](const Shard& s) { return s.plan.first_record; }, to->mutable_first_record());
  column([](const Shard& s) { return s.plan.record_count; }, to->mutable_record_count());
  column([](const Shard& s) { return s.counts.read; }, to->mutable_read());
  column([](const Shard& s) { return s.counts.labelled; }, to->mutable_labelled());
  column([](const Shard& s) { return s.counts.abstained; }, to->mutable_abstained());
  column([](const Shard& s) { return s.counts.quarantined; }, to->mutable_quarantined());
  column([](const Shard& s) { return s.files.text(); }, to->mutable_files());
}

void EncodeSnapshot(const LabelerRestored& from, v1::Event& event) {
  v1::LabelerRestored* to = event.mutable_labeler_restored();
  const Labeler& labeler = from.labeler;
  to->set_labeler_id(labeler.labeler_id);
  to->set_name(labeler.name);
  to->set_incarnation(labeler.incarnation);
  to->set_instruction_set(labeler.instruction_set);
  to->set_shards_committed(labeler.shards_committed);
  to->set_records(labeler.records);
  to->set_last_call(labeler.last_call);
  to->set_host(labeler.host);
  to->set_failures(labeler.failures);
  to->set_leased_since_failure(labeler.leased_since_failure);
  to->set_silent(labeler.silent);
  to->set_trusted(labeler.trusted);
  for (const LeaseKey& key : labeler.last_leases) coordinator::Put(key, to->add_last_leases());
}

void EncodeSnapshot(const RequestsRestored& from, v1::Event& event) {
  v1::RequestsRestored* to = event.mutable_requests_restored();
  to->mutable_submissions()->insert(from.submissions.begin(), from.submissions.end());
  for (const auto& [request_id, run_id] : from.changes) {
    to->add_changes(request_id);
    to->add_changed_runs(run_id);
  }
}

Result<Event> DecodeSnapshot(const v1::RunRestored& from) {
  RunRestored to;
  to.run.run_id = from.run_id();
  to.run.name = from.name();
  to.run.run_dir = from.run_dir();
  to.run.spec = from.spec().SerializeAsString();
  FERMENT_ASSIGN_OR_RETURN(to.run.state, EnumNamed(from.state(), RunState::kCancelled, RunStateName, "run state"));
  to.run.cancel_requested = from.cancel_requested();
  to.run.suspended = from.suspended();
  to.run.priority = from.priority();
  to.run.failure = coordinator::Take(from.failure());
  to.run.submitted_wall_ms = from.submitted_wall_ms();
  to.run.ended_wall_ms = from.ended_wall_ms();
  to.run.revision = from.revision();
  to.run.phase_revision = from.phase_revision();
  for (const v1::SnapshotJob& job : from.jobs()) {
    FERMENT_ASSIGN_OR_RETURN(JobSummary summary, Take(job));
    to.jobs.push_back(std::move(summary));
  }
  return to;
}

Result<Event> DecodeSnapshot(const v1::ShardsRestored& from) {
  if (from.count() > kMostShards ||
      !Fit(from.count(), from.state(), from.epoch(), from.labeler(), from.failures(), from.last_request_id(),
           from.group(), from.first_record(), from.record_count(), from.read(), from.labelled(), from.abstained(),
           from.quarantined(), from.files())) {
    return Fail(DataLossError("the lists of a snapshot's shards have different lengths: run=" + from.run_id() +
                              " job=" + from.job_id()));
  }
  ShardsRestored to{from.run_id(), from.job_id(), {}};
  to.shards.reserve(from.count());
  for (std::uint32_t i = 0; i < from.count(); ++i) {
    FERMENT_ASSIGN_OR_RETURN(Shard shard, TakeShard(from, static_cast<int>(i)));
    to.shards.push_back(std::move(shard));
  }
  return to;
}

Result<Event> DecodeSnapshot(const v1::LabelerRestored& from) {
  LabelerRestored to{{from.labeler_id(),
                      from.name(),
                      from.incarnation(),
                      from.instruction_set(),
                      from.shards_committed(),
                      from.records(),
                      from.last_call(),
                      {},
                      from.host(),
                      from.failures(),
                      from.leased_since_failure(),
                      from.silent(),
                      from.trusted()}};
  for (const v1::EventLease& key : from.last_leases()) to.labeler.last_leases.push_back(coordinator::Take(key));
  return to;
}

Result<Event> DecodeSnapshot(const v1::RequestsRestored& from) {
  RequestsRestored to{{from.submissions().begin(), from.submissions().end()}, {}};
  if (from.changed_runs_size() != 0 && from.changed_runs_size() != from.changes_size()) {
    return Fail(DataLossError("the lists of a snapshot's requests have different lengths"));
  }
  for (int i = 0; i < from.changes_size(); ++i) {
    to.changes.emplace(from.changes(i), from.changed_runs_size() == 0 ? std::string() : from.changed_runs(i));
  }
  return to;
}

}  // namespace ferment::coordinator
